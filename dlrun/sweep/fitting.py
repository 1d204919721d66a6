"""`dlrun -m model=fitting data=digits`: every model that fits the data; `data=fitting`: every data set that ships."""

import sys

from dlrun.config import catalogue, check, compose, pairing, registry, schema
from dlrun.errors import UserError

FITTING = "fitting"


def listed(overrides: list[str], config_dirs: list[str]) -> tuple[list[str], bool]:
    """`overrides` with the names that `fitting` may stand for, and whether it stood there.

    **Raises:** `UserError` if there are none.
    """
    keys = {override.key_or_group: override for override in compose.parse(overrides)}
    wanted = [group for group in ("model", "data") if group in keys and keys[group].value() == FITTING]
    if not wanted:
        return overrides, False
    names = {group: registry.of(group).names() for group in ("model", "data")}
    for group in names:
        if group not in wanted:
            line = keys[group].input_line if group in keys else None
            usual = f"{group}={compose.tree([], config_dirs)[group]['name']}"
            names[group] = [job[0].partition("=")[2] for job in compose.expand([line or usual], config_dirs)]
    if "data" in wanted:
        attributes = {name: described.attributes for name, described in registry.of("data").descriptions()}
        names["data"] = [name for name in names["data"] if attributes[name].get("source") in catalogue.HERE]
    learn = {data: pairing.models_of(data) for data in names["data"]}
    pairs = [(model, data) for model in names["model"] for data in names["data"] if model in learn[data]]
    if not pairs:
        raise UserError(f"{wanted[0]}=fitting: none fits {' '.join(word for word in overrides if FITTING not in word)}")
    found = {
        "model": list(dict.fromkeys(model for model, _ in pairs)),
        "data": list(dict.fromkeys(d for _, d in pairs)),
    }
    rest = [word for word in overrides if compose.parse([word])[0].key_or_group not in wanted]
    return [*(f"{group}={','.join(found[group])}" for group in wanted), *rest], True


def only(jobs: list[list[str]], config_dirs: list[str]) -> list[list[str]]:
    """Those of `jobs`, lists of words, whose model can be built for their data; the others are named.

    **Raises:** `UserError` if there are none.
    """
    from dlrun.run import assemble

    composer = compose.Composer(config_dirs)
    verdicts: dict[tuple[str, ...], str | None] = {}
    kept = []
    for words in jobs:
        what = tuple(word for word in words if not word.startswith("seed="))
        if what not in verdicts:
            try:
                config = check.parse(composer.tree(words))
                seen, _ = assemble.view(config, assemble.data(config).spec)
                assemble.model(config, seen)
                verdicts[what] = None
            except UserError as error:
                verdicts[what] = str(error).splitlines()[0]
        if verdicts[what] is None:
            kept.append(words)
    left_out = {" ".join(what): reason for what, reason in verdicts.items() if reason is not None}
    if not kept:
        raise UserError(f"fitting: none can be built; {next(iter(left_out.values()))}")
    if left_out:
        print(f"dlrun: note: left out, as they do not fit: {schema.few(left_out, 6)}", file=sys.stderr)
    return kept
