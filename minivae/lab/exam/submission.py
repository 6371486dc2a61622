"""A student's file: read, and run as far as it goes."""

import ast
import contextlib
import io
import re
import sys
import traceback
import types
import warnings
from pathlib import Path

import numpy as np

from ...errors import brief, expect
from . import sheet

LONGEST = 1 << 20  # bytes of a file
TOP = re.compile(r"^(?=def |async def |class |@|import |from |EXAM\b|BUG\b)", re.MULTILINE)


def _assigned(statements, name):
    """What stands behind NAME =, as text, or None."""
    for statement in statements:
        if isinstance(statement, ast.Assign) and any(ast.unparse(target) == name for target in statement.targets):
            return brief(ast.unparse(statement.value), 40)
    return None


class Submission:
    """What a file defines. What does not compile, or raises while the file is read, is left out of it.

    Attributes
    ----------
    names : what it defines, by name
    broken : from the name of a function that could not be read to the reason, and "" to that of anything else
    twice : names of functions that are defined more than once
    bug : the number of the bug it holds, or None for an exam
    printed : what it has printed so far

    Raises
    ------
    ValueError, in one line, for what is no file of Python text, or is not an exam of this version.
    """

    def __init__(self, path):
        self.path, self.broken, self.printed = Path(path), {}, io.StringIO()
        self._lost: list[str] = []
        statements = self._statements(self._text())
        self._expect_exam(statements)
        defined = [statement.name for statement in statements if isinstance(statement, ast.FunctionDef)]
        self.twice = {name for name in defined if defined.count(name) > 1}
        module = types.ModuleType("exam")
        module.__file__ = str(self.path)
        self.names = vars(module)
        with self.quiet():
            for statement in statements:
                self._execute(statement)

    def _expect_exam(self, statements):
        """Raises ValueError for what is not an exam of this version, of which nothing is run."""
        version, self.bug = (_assigned(statements, name) for name in ("EXAM", "BUG"))
        if version is None and self._lost:
            raise ValueError(f"{self.path}: {self._lost[0]}, and no line EXAM = {sheet.EXAM}: expected an exam")
        wanted = f"EXAM = {sheet.EXAM}: get a new one with minivae lab exam, and move your answers there"
        expect(version is not None, str(self.path), "a file without a line EXAM = ...", wanted)
        expect(version == str(sheet.EXAM), str(self.path), f"an exam of version {version}", wanted)
        if self.bug is not None:
            expect(self.bug.isdecimal(), str(self.path), f"BUG = {self.bug}", "the number that was there")
            self.bug = int(self.bug)

    def _text(self):
        try:
            with open(self.path, "rb") as file:
                content = file.read(LONGEST + 1)
        except OSError as error:
            reason = error.strerror or error
            raise ValueError(f"{self.path}: {reason}, expected the file of an exam, exam.py say") from error
        expect(len(content) <= LONGEST, str(self.path), f"more than {LONGEST} bytes", "the file of an exam")
        try:
            return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path}: no UTF-8 text, expected Python code") from error

    def _statements(self, text):
        """The statements of the file; where it does not parse, those of its parts that do."""
        whole = self._parsed(text, 0)
        if isinstance(whole, list):
            return whole
        found, line = [], 0
        for part in TOP.split(text):
            parsed = self._parsed(part, line)
            if isinstance(parsed, list):
                found += parsed
            else:
                name = re.match(r"(?:async )?def (\w+)", part)
                self._note(name[1] if name else "", f"line {parsed[1]}: {parsed[0]}")
            line += part.count("\n")
        return found

    def _parsed(self, text, line):
        """A list of statements, or (reason, number of the line)."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse("\n" * line + text, str(self.path)).body
        except SyntaxError as error:
            return f"{type(error).__name__}: {error.msg}", error.lineno or line + 1
        except (ValueError, RecursionError, MemoryError) as error:  # null bytes, deep nesting
            return f"{type(error).__name__}: {error}", line + 1

    def _execute(self, statement):
        try:
            code = compile(ast.Module([statement], []), str(self.path), "exec")
            exec(code, self.names)
        except SyntaxError as error:  # which the parser does not see: a return outside of a function
            self._note(getattr(statement, "name", ""), f"line {error.lineno}: SyntaxError: {error.msg}")
        except (Exception, SystemExit) as error:
            self._note(getattr(statement, "name", ""), self.said(error))

    def _note(self, name, reason):
        self._lost.append(reason)
        self.broken.setdefault(name, reason)

    def said(self, error):
        """An exception of the student's code in a line, with its place in the file."""
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(self.path)]
        where = f" (line {lines[-1]})" if lines else ""
        return brief(f"raises {type(error).__name__}: {error}".removesuffix(": ") + where)

    @contextlib.contextmanager
    def quiet(self):
        """What is printed and warned of inside is kept away, and there is nothing to be read from standard input;
        NumPy's global generator starts from 0 and is put back.
        """
        state, stdin = np.random.get_state(), sys.stdin  # noqa: NPY002
        try:
            np.random.seed(0)  # noqa: NPY002
            sys.stdin = io.StringIO()
            with (
                contextlib.redirect_stdout(self.printed),
                contextlib.redirect_stderr(self.printed),
                warnings.catch_warnings(),
                np.errstate(all="ignore"),
            ):
                warnings.simplefilter("ignore")
                yield
        finally:
            np.random.set_state(state)  # noqa: NPY002
            sys.stdin = stdin

    def first_printed(self):
        """The first line printed since last asked, or None."""
        lines = self.printed.getvalue().split("\n")
        self.printed.seek(0)
        self.printed.truncate()
        return next((brief(line, 80) for line in lines if line.strip()), None)
