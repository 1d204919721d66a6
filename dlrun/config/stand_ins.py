"""What takes the place of data that are not here, so that a recipe can be tried without them."""

from typing import Any

from dlrun.config import catalogue, registry
from dlrun.config.places import data_root


def word(name: str) -> str | None:
    """What a data set says of itself: the word, such as `data=digits`, that stands for it without a download."""
    entries = registry.of("data")
    return (entries.describe(name).attributes.get("stand_in") or None) if name in entries else None


def needed(data: dict[str, Any]) -> str | None:
    """The word that is needed in place of the data of a config; None: they are here, or nothing stands for them."""
    stand_in = word(str(data.get("name")))
    if stand_in is None:
        return None
    described = registry.of("data").describe(data["name"])
    if described.attributes.get("source") == "yours":
        is_here = data.get("path") is not None or data.get("root") is not None
    elif stand_in.startswith("data="):
        place = catalogue.files_of(described.doc, data_root(data.get("root")))
        is_here = place is not None and catalogue.files_are_there(place)
    else:
        key, _, value = stand_in.removeprefix("data.").partition("=")
        is_here = str(data.get(key)) == value
    return None if is_here else stand_in
