"""`minivae lab exam`: eight gradients to write by hand, and bugs to find in them; both are graded in words.

`write(folder)` makes exam.py, `write_bug(folder, number)` a file with one mistake, `grade(path)` grades either and
returns a `Report`, true when all passed. For students and teachers: docs/exam.md.
"""

from .bugs import write, write_bug
from .grade import Mark, Report, grade

__all__ = ["Mark", "Report", "grade", "write", "write_bug"]
