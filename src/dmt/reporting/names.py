"""Names of pictures -> short ones that are still told apart."""

from collections import Counter
from collections.abc import Sequence

from PIL import Image


def short_names(names: Sequence[str]) -> list[str]:
    """The end of each name, without the folders and the suffix of a picture file; with as many folders as it takes.

    Pictures of one name in several folders keep the last folders that tell them apart; where only the suffixes differ,
    they stay. Equal names have equal short names.

    >>> short_names(["oranges/img_0042.jpg", "oranges/img_0043.jpg", "Ada_One_0001"])
    ['img_0042', 'img_0043', 'Ada_One_0001']
    >>> short_names(["a/oranges/1.jpg", "a/apples/1.jpg", "2.png", "2.jpg"])
    ['oranges/1', 'apples/1', '2.png', '2.jpg']
    """
    choices = {name: _ends(name) for name in names}
    while True:
        count = Counter(ends[0] for ends in choices.values())
        alike = [name for name, ends in choices.items() if count[ends[0]] > 1 and len(ends) > 1]
        if not alike:
            return [choices[name][0] for name in names]
        for name in alike:
            del choices[name][0]


def end_of(name: str, most: int) -> str:
    """The last characters of a name, ``most`` of them with the dots that stand for the others.

    >>> end_of("holiday_img_0042", 9)
    '…img_0042'
    """
    return name if len(name) <= most else "…" + name[len(name) - most + 1 :]


def _ends(name: str) -> list[str]:
    """What a name may be called, the shortest first; the last is the name itself."""
    stem, dot, suffix = name.rpartition(".")
    is_picture = bool(stem) and not stem.endswith("/") and f"{dot}{suffix}".lower() in Image.registered_extensions()
    forms = [stem, name] if is_picture else [name]
    split = [form.split("/") for form in forms]
    return ["/".join(parts[-n:]) for parts in split for n in range(1, len(parts) + 1)]
