"""Which files below a folder are a person's images, and which are passed over."""

import os
from collections import Counter
from collections.abc import Mapping

from sact_tf.data.images import is_image_name
from sact_tf.errors import UserError

_SHOWN = 3
_OF_PROGRAMS = frozenset(
    ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")
)


def is_hidden_folder(name: str) -> bool:
    """Whether a folder holds what a program keeps for itself: thumbnails, checkpoints, ..."""
    return name.startswith(".") or name in _OF_PROGRAMS


class ImageListing:
    """The images below some folders: every file once, whatever links lead to it.

    Folders that programs hide or keep for themselves (`.ipynb_checkpoints`, `.thumbnails`,
    `@eaDir`, `__MACOSX`) are not looked into, hidden files not looked at. Links are followed, but a
    folder or a file that has another name, too, is listed under that which is no link.

    Args:
        folders: by name; what is in one and not an image's by its name is passed over.

    Attributes:
        images: by name of the folder, the paths, sorted.
        real_paths: of each path of `images`, without links.

    Raises:
        UserError: a folder cannot be read.
    """

    def __init__(self, folders: Mapping[str, str | os.PathLike]):
        self.images: dict[str, list[str]] = {name: [] for name in folders}
        self.real_paths: dict[str, str] = {}
        self._suffixes: Counter[str] = Counter()
        self._hidden: Counter[str] = Counter()
        self._again = 0
        self._folders: set[str] = set()
        self._files: set[str] = set()
        roots = [(name, os.fspath(folder)) for name, folder in folders.items()]
        links = [root for root in roots if os.path.islink(root[1])]
        for root in roots:
            if root not in links:
                links += self._walk(*root)
        # What a link leads to may lead on.
        while links:
            links += self._follow(*links.pop(0))
        for paths in self.images.values():
            paths.sort()

    def passed_over(self) -> list[str]:
        """What is in the folders beside the images, in words with numbers; nothing as a rule."""
        found = []
        if self._suffixes:
            found.append(_counted("file", " of other kinds", self._suffixes))
        if +self._hidden:
            found.append(_counted("hidden folder", "", +self._hidden))
        if self._again:
            plural = "" if self._again == 1 else "s"
            found.append(f"{self._again} link{plural} to what is listed already")
        return found

    def _walk(self, name: str, folder: str) -> list[tuple[str, str]]:
        """Lists a folder and those in it, and returns the links that it meets."""
        links, waiting = [], [(folder, os.path.realpath(folder))]
        while waiting:
            folder, real = waiting.pop()
            if real in self._folders:
                self._again += 1
                continue
            self._folders.add(real)
            for entry in _entries(folder):
                if is_hidden_folder(entry.name):
                    self._hidden[entry.name] += entry.is_dir()
                elif entry.is_symlink():
                    links.append((name, entry.path))
                elif entry.is_dir():
                    waiting.append((entry.path, os.path.join(real, entry.name)))
                else:
                    self._take(name, entry.path, os.path.join(real, entry.name))
        return links

    def _follow(self, name: str, link: str) -> list[tuple[str, str]]:
        if os.path.isdir(link):
            return self._walk(name, link)
        self._take(name, link, os.path.realpath(link))
        return []

    def _take(self, name: str, path: str, real: str) -> None:
        file = os.path.basename(path)
        if not is_image_name(file):
            self._suffixes[os.path.splitext(file)[1] or "none"] += 1
        elif real in self._files:
            self._again += 1
        else:
            self._files.add(real)
            self.images[name].append(path)
            self.real_paths[path] = real


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: the folder cannot be read ({error.strerror})") from None


def _counted(what: str, kind: str, names: Counter[str]) -> str:
    shown = ", ".join(f"{name}: {count}" for name, count in names.most_common(_SHOWN))
    more = ", ..." if len(names) > _SHOWN else ""
    number = sum(names.values())
    return f"{number} {what}{'' if number == 1 else 's'}{kind} ({shown}{more})"
