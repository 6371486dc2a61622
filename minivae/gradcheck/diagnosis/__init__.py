"""What a wrong gradient looks like, in words."""
