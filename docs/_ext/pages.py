"""The pages that are made from dlrun itself: the course map, the gallery, a page a recipe, the reference of all keys.

`setup` lets Sphinx make them anew in each build, so that none can be older than the code. Nothing here needs Sphinx.
"""

import inspect
import itertools
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any, get_type_hints

import gallery
import yaml

from dlrun.config import catalogue, check, course, registry, schema
from dlrun.config.places import conf_folder
from dlrun.config.spec import FILLED
from dlrun.examples import EXAMPLES

DOCS = pathlib.Path(__file__).parent.parent
MADE = ("recipes", "reference")  # folders that hold made pages and nothing else
# The groups that choose no registered thing: the class with the types of their keys, and the file with their defaults.
SECTIONS = {
    "trainer": (check.Trainer, "default"),
    "device": (check.Device, "auto"),
    "logger": (check.Logger, "default"),
    "sweep": (check.Sweep, "default"),
    "sweeper": (check.Sweeper, "optuna"),
}
ALONE = ("view", "init")  # sections without files of their own, whose keys stand in config.yaml


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls: the pages are written before it looks for any, the marks filled as it reads them."""
    app.connect("builder-inited", lambda app: write(pathlib.Path(app.srcdir)))
    app.connect("source-read", lambda app, name, source: source.__setitem__(0, filled(source[0])))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write(docs: pathlib.Path) -> None:
    """Writes what has changed, so that Sphinx reads no more than that again, and removes pages of what is gone."""
    pages = made()
    for folder in MADE:
        (docs / folder).mkdir(exist_ok=True)
        for path in (docs / folder).glob("*.md"):
            if f"{folder}/{path.name}" not in pages:
                path.unlink()
    for name, text in pages.items():
        path = docs / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def made() -> dict[str, str]:
    """The text of each made page, by its place in docs/."""
    recipes = {f"recipes/{recipe['name']}.md": recipe_page(recipe) for recipe in catalogue.experiments([])}
    groups = {f"reference/{group}.md": registered_page(group) for group in registry.TABLES}
    groups |= {f"reference/{group}.md": section_page(group) for group in SECTIONS}
    return recipes | groups | {"reference/run.md": run_page()}


def filled(text: str) -> str:
    """A written page with each of its marks, such as `<!-- course map -->`, replaced by what is made."""
    for mark, make in {"course map": course_map, "gallery": gallery_grid, "reference": reference_table}.items():
        if f"<!-- {mark} -->" in text:
            text = text.replace(f"<!-- {mark} -->", make())
    return text


def course_map() -> str:
    """For each chapter its commands, each with its picture and what it reached."""
    recipes = {recipe["name"]: recipe for recipe in catalogue.experiments([])}
    lessons: dict[str, list[str]] = {}
    for name, described in EXAMPLES.descriptions():
        lessons.setdefault(described.attributes["chapter"], []).append(name)
    parts = []
    for chapter in course.CHAPTERS:
        rows = []
        for recipe in map(recipes.__getitem__, chapter.recipes):
            about = f"{link(recipe)}: {prose(title(recipe))}. {code(command(recipe))}"
            rows.append([picture(recipe["name"], 150), about, prose(recipe["headline"])])
        head = ["picture", "command", "reached"]
        parts += [f"## {chapter.title}", *([table(head, rows)] if rows else [])]
        shown = [f"dlrun show example={name}" for name in lessons.get(chapter.title, [])]
        parts += [block("\n".join([*shown, *chapter.commands]))] if shown or chapter.commands else []
    return "\n\n".join(parts)


def gallery_grid() -> str:
    """By family a picture of each recipe that has one; the others by name. Behind it, hidden, all pages."""
    found, parts = catalogue.experiments([]), []
    for family, recipes in itertools.groupby(found, key=lambda recipe: recipe["family"]):
        own = list(recipes)
        with_picture = [recipe for recipe in own if gallery.pictures(recipe["name"])]
        cells = [f"- {picture(recipe['name'], 220)} {link(recipe)}" for recipe in with_picture]
        rest = ", ".join(link(recipe) for recipe in own if recipe not in with_picture)
        parts.append(f"## {family}")
        parts += ["{.gallery}\n" + "\n".join(cells)] if cells else []
        parts += [f"Without a picture yet: {rest}."] if rest else []
    return "\n\n".join([*parts, toctree(f"recipes/{recipe['name']}" for recipe in found)])


def reference_table() -> str:
    """The groups of keys, each a page."""
    rows = [[f"[{group}](reference/{group}.md)", prose(", ".join(options(group)))] for group in registry.TABLES]
    rows += [[f"[{group}](reference/{group}.md)", prose(", ".join(options(group)))] for group in SECTIONS]
    rows += [["[run](reference/run.md)", "the keys of a run that are in no group"]]
    pages = [*registry.TABLES, *SECTIONS, "run"]
    return "\n\n".join([table(["group", "options"], rows), toctree(f"reference/{page}" for page in pages)])


def recipe_page(recipe: dict[str, Any]) -> str:
    """The whole header of a recipe, its pictures, and its file."""
    name, header = recipe["name"], [line.strip() for line in catalogue.header(recipe["name"], [])]
    commands = [line for line in header if line.startswith("dlrun ")]
    before = header[1 : next((place for place, line in enumerate(header) if line.startswith("Reached:")), None)]
    remarks = " ".join(line for line in before if line not in commands)
    if paths := gallery.pictures(name):
        shown = "\n\n".join(f"![{path.stem.split('.')[1].replace('_', ' ')}](../gallery/{path.name})" for path in paths)
        shown += f"\n\nMade by `dlrun {' '.join(gallery.words(recipe))}`."
    else:
        shown = f"No picture yet: a run takes {recipe['time']}. `python docs/gallery.py --only {name}` makes them."
    smoke = f"In {recipe['smoke'] or 'seconds'}, without a download: `dlrun experiment={name} trainer=smoke`."
    parts = [
        f"# {name}", f"{prose(title(recipe))}.", block("\n".join(commands or [recipe["command"]])), prose(remarks),
        f"**Reached**: {prose(recipe['reached'])}", smoke, "## Pictures", shown, "## The file",
        f"```{{literalinclude}} {up(conf_folder() / f'experiment/{name}.yaml')}\n:language: yaml\n```",
    ]  # fmt: skip
    return "\n\n".join(filter(None, parts)) + "\n"


def registered_page(group: str) -> str:
    """Every option of a group that chooses registered things, with its keys."""
    entries, parts = registry.of(group), [f"# {group}", f"`{group}=NAME` chooses, `{group}.KEY=VALUE` changes a key."]
    for option in options(group):
        path = conf_folder() / group / f"{option}.yaml"
        meanings = comments(path)
        parts += [f"## {group}={option}", prose(meanings[""])]
        if option not in entries:
            continue
        values, rows = values_of(path), []
        meanings = explained(entries.get(option)) | {key: text for key, text in meanings.items() if text}
        for key, parameter in entries.describe(option).parameters.items():
            # A task gets the spec itself, which is no key.
            if key != "spec":
                default = "from the data" if values.get(key) is None and key in FILLED else code(shown(values.get(key)))
                kind = schema.describe(parameter.annotation)
                rows.append([code(f"{group}.{key}"), prose(kind), default, prose(meanings.get(key, ""))])
        parts += [table(["key", "type and range", "default", "meaning"], rows)] if rows else []
    return "\n\n".join(parts) + "\n"


def explained(thing: Any) -> dict[str, str]:
    """What the docstring of a constructor, or of a function, says of its keys."""
    return catalogue.meanings(inspect.getdoc(thing.__init__ if inspect.isclass(thing) else thing) or "")


def section_page(group: str) -> str:
    """The keys of a group that has one set of them, and what its other options change."""
    kind, base = SECTIONS[group]
    path = conf_folder() / group / f"{base}.yaml"
    parts = [f"# {group}", f"`{group}=NAME` chooses, `{group}.KEY=VALUE` changes a key."]
    parts += [prose(comments(path)[""]), typed_keys(group, kind, values_of(path), comments(path))]
    for option in options(group):
        if option != base:
            path = conf_folder() / group / f"{option}.yaml"
            changed = ", ".join(code(f"{group}.{key}={shown(value)}") for key, value in values_of(path).items())
            parts.append(f"`{group}={option}`: {prose(comments(path)[''])} {changed}")
    return "\n\n".join(parts) + "\n"


def run_page() -> str:
    """The keys of config.yaml itself."""
    path = conf_folder() / "config.yaml"
    hints, values, meanings = get_type_hints(check.Config, include_extras=True), values_of(path), comments(path)
    parts = ["# run", "Keys of a run that are in no group."]
    for section in ALONE:
        own = {key.removeprefix(f"{section}."): text for key, text in meanings.items() if key.startswith(section)}
        parts += [f"## {section}", typed_keys(section, hints[section], values[section], own)]
    rows = [
        [code(key), prose(schema.describe(hint)), code(shown(values[key])), prose(meanings.get(key, ""))]
        for key, hint in hints.items()
        if key in values and key not in ALONE
    ]
    return "\n\n".join([*parts, "## Others", table(["key", "type and range", "default", "meaning"], rows)]) + "\n"


def typed_keys(section: str, kind: type, values: dict[str, Any], meanings: dict[str, str]) -> str:
    """A table of the fields of a section of the config."""
    rows = []
    for field, hint in get_type_hints(kind, include_extras=True).items():
        key = field.removesuffix("_")
        cells = [code(f"{section}.{key}"), prose(schema.describe(hint)), code(shown(values.get(key)))]
        rows.append([*cells, prose(meanings.get(key, ""))])
    return table(["key", "type and range", "default", "meaning"], rows)


def options(group: str) -> list[str]:
    """The files of a group."""
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


def values_of(path: pathlib.Path) -> dict[str, Any]:
    """The keys that a file sets."""
    return {key: value for key, value in yaml.safe_load(path.read_text()).items() if key not in ("defaults", "name")}


def comments(path: pathlib.Path) -> dict[str, str]:
    """What a file says of each of its keys, behind it or in the lines above; of itself, under ''."""
    found, above, section = {"": ""}, [], ""
    for line in path.read_text(encoding="utf-8").splitlines():
        key = re.match(r"( *)(\w+):(.*)", line)
        if line.startswith("#"):
            above.append(line.removeprefix("#").strip())
        elif not key:
            above = []
        else:
            if not found[""]:
                found[""], above = " ".join(above), []
            section = section if key[1] else key[2]
            behind = re.search(r"\s# (.*)", re.sub(r'"[^"]*"', "", key[3]))
            place = f"{section}.{key[2]}" if key[1] else key[2]
            found[place] = behind[1] if behind else " ".join(above)
            above = []
    return found


def command(recipe: dict[str, Any]) -> str:
    """The command of a recipe, without what its header says behind."""
    return recipe["command"].partition("  #")[0].strip()


def title(recipe: dict[str, Any]) -> str:
    return recipe["title"].rstrip(".")


def link(recipe: dict[str, Any]) -> str:
    return f"[{recipe['name']}](recipes/{recipe['name']}.md)"


def picture(name: str, width: int) -> str:
    """The first picture of a recipe, which leads to its page; nothing where there is none."""
    paths = gallery.pictures(name)
    shown = f"![{name}](gallery/{paths[0].name}){{width={width}px}}" if paths else ""
    return shown and f"[{shown}](recipes/{name}.md)"


def shown(value: Any) -> str:
    """A value as a command line takes it."""
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def code(text: str) -> str:
    return f"`{text}`"


def prose(text: str) -> str:
    """A text in which only `code` has a meaning to Markdown."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escaped(text)
    return "".join(code(part) if place % 2 else escaped(part) for place, part in enumerate(parts))


def escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>#$~])", r"\\\1", text)


def block(text: str) -> str:
    return f"```text\n{text}\n```"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; a bar within a cell would end it."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def toctree(names: Iterable[str]) -> str:
    return "\n".join(["```{toctree}", ":hidden:", "", *names, "```"])


def up(path: pathlib.Path) -> str:
    """A file of the repository, as a made page names it."""
    return f"../../{path.relative_to(DOCS.parent)}"
