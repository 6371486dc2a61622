"""The command line: one file for each subcommand, and the options they share."""
