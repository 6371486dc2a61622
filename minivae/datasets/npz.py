"""NPZ, arrays by name in a zip: which of them are the examples, and which their labels, under the names people use."""

import re

from ..errors import expect
from ..files.npy import read_header, read_npy
from ..files.opening import open_member, open_zip
from .options import ARRAY, LABEL

# What each of the four arrays is called in files that people share: those of Keras, of MedMNIST, of this package. What
# stands at one place of these lists goes together.
ROLES = {
    "train": ("train", "x_train", "X_train", "train_images", "train_x", "train_X", "train_data"),
    "test": ("test", "x_test", "X_test", "test_images", "test_x", "test_X", "test_data"),
    "train_labels": ("train_labels", "y_train", "Y_train", "train_y", "train_Y", "train_targets"),
    "test_labels": ("test_labels", "y_test", "Y_test", "test_y", "test_Y", "test_targets"),
}
# In a file that has no part to test with, as those of scikit-learn's users and of dSprites.
WHOLE = ("X", "x", "data", "images", "imgs", "features", "inputs")
LABELS = ("y", "Y", "target", "targets", "labels", "label")
OF_PART = re.compile(r"(.*_)?(test|val|valid|validation|dev)(_.*)?", re.I)  # those are not its labels
MOST_SHOWN = 8  # arrays in a message
LARGEST_UNPACKED = 8 << 30  # bytes, over all arrays read from one packed file


def read_npz(name, file, length, options):
    """(arrays by role, how they were read) of an NPZ file of that length; ValueError, with what it holds and the option
    that settles it, where more than one array may be the examples or their labels."""
    with open_zip(name, file) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        arrays = {key.removesuffix(".npy"): info for key, info in infos.items() if key.endswith(".npy")}
        if not arrays:
            raise ValueError(f"{name}: got {_what(infos)}, expected one named 'train', or one array only")
        roles = _Choice(name, archive, arrays, length, options).roles()
        total = sum(arrays[member].file_size for member in roles.values())
        expect(total <= LARGEST_UNPACKED, name, f"a claim of {total} bytes unpacked", f"at most {LARGEST_UNPACKED}")
        read = {}
        for role, member in roles.items():
            labels = role.endswith("labels")
            advice = (
                f"; numbers or texts can be labels, objects by y.astype(str): {LABEL} names others, '' none" * labels
            )
            with open_member(f"{name}: {role}", archive, arrays[member], length) as stream:
                read[role] = read_npy(stream, advice, text=labels)
        said = [f"{role} is {member!r:.60}" for role, member in roles.items() if member not in (role, "arr_0")]
        unread = [repr(member) for member in arrays if member not in roles.values()]
        said += [f"{', '.join(unread[:MOST_SHOWN]):.200} not read"] if unread else []
        return read, ", ".join(said)


class _Choice:
    """Finds which array plays which role."""

    def __init__(self, name, archive, arrays, length, options):
        self._name, self._archive, self._arrays, self._length, self._options = name, archive, arrays, length, options

    def roles(self):
        """From role to the name of an array."""
        train = self._train()
        family = ROLES["train"].index(train) if train in ROLES["train"] else None
        roles = {"train": train}
        test = self._beside(train, family, "test")
        if test:
            roles["test"] = test
        if self._options.label == "":
            return roles
        labels = self._labels(train, family)
        if labels:
            roles["train_labels"] = labels
        of_test = self._beside(labels, family, "test_labels") if labels or family is not None else None
        if of_test and (test or self._options.label is None):
            roles["test_labels"] = of_test
        return roles

    def _train(self):
        asked, arrays = self._options.array, self._arrays
        if asked is not None:
            return self._named("array (--array)", asked, asked in arrays)
        known = [key for names in (ROLES["train"], WHOLE) for key in names if key in arrays]
        found = [key for key in known if key in ROLES["train"]] or known
        if not found:
            roles = {*LABELS, *(key for names in ROLES.values() for key in names)}
            found = [key for key in arrays if key not in roles]
            if len(found) > 1:
                found = [key for key in found if len(self._header(key)[1]) > 1 and self._header(key)[1][1] > 1]
        self._one(len(found) == 1, f"one named 'train', or {ARRAY} to say which holds the examples")
        return found[0]

    def _beside(self, first, family, role):
        """The array of that role that goes with another by its name; None where there is none."""
        if family is None or (role == "test_labels" and self._options.label is not None):
            partners = (first.replace("train", "test"), f"{first}_test")
            return next((key for key in partners if key != first and key in self._arrays), None)
        found = [key for key in ROLES[role] if key in self._arrays]
        if len(found) > 1 and ROLES[role][family] in found:
            found = [ROLES[role][family]]
        option = LABEL if role.endswith("labels") else f"{ARRAY} with the name of one for training"
        self._one(len(found) < 2, f"one named {role!r}, or {option}")
        return found[0] if found else None

    def _labels(self, train, family):
        label, arrays = self._options.label, self._arrays
        if label is not None:
            return self._named("label (--labels)", label, label in arrays and label != train)
        if family is not None:
            return self._beside(train, family, "train_labels")
        found = [key for key in LABELS if key in arrays and key != train and not OF_PART.fullmatch(train)]
        if not found and train.startswith("arr_"):  # by numpy.savez(FILE, x, y)
            rows = self._header(train)[1][:1]
            of_rows = [key for key in arrays if key != train and self._header(key)[1] in (rows, (*rows, 1))]
            found = [key for key in of_rows if str(self._header(key)[0])[1:2] in tuple("biuUS")]
        self._one(len(found) < 2, f"{LABEL} to say which holds the labels, '' for none")
        return found[0] if found else None

    def _one(self, right, expected):
        if not right:
            raise ValueError(f"{self._name}: got the arrays {self._shown()}, expected {expected}")

    def _named(self, option, asked, right):
        if not right:
            raise ValueError(f"{self._name}: {option}: got {asked!r:.60}, expected another array of {self._shown()}")
        return asked

    def _header(self, key):
        """(type, shape) of an array as its header has them; ("?", ()) where that cannot be read."""
        try:
            with open_member(key, self._archive, self._arrays[key], self._length) as stream:
                kind, _, shape = read_header(stream)
                return kind, shape
        except ValueError:
            return "?", ()

    def _shown(self):
        shown = [f"{key!r:.40} {self._header(key)[1]}" for key in list(self._arrays)[:MOST_SHOWN]]
        return ", ".join(shown) + ", ..." * (len(self._arrays) > MOST_SHOWN)


def _what(infos):
    """What an archive without arrays holds, as a message says it."""
    kinds = {
        "data.pkl": "a PyTorch file",
        "workbook.xml": "an Excel file",
        "content.xml": "an OpenOffice file",
        ".csv": "a packed table",
    }
    kinds |= dict.fromkeys((".png", ".jpg", ".jpeg"), "packed pictures")
    for end, kind in kinds.items():
        if any(key.endswith(end) for key in infos):
            packed = "unpack it" if kind.startswith("a packed") else "unpack them, and name the folder,"
            advice = packed if "packed" in kind else "save its arrays or table"
            return f"no arrays but {kind} ({advice} first)"
    return "the arrays none"
