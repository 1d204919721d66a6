"""The site: what is made from the code is whole, and no link of it leads nowhere."""

import html.parser
import importlib
import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest
from PIL import Image

from dlrun.config import catalogue, check, compose, course, registry
from dlrun.examples import EXAMPLES

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
RECIPES = catalogue.experiments([])

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(DOCS)
    patch.syspath_prepend(DOCS / "_ext")
    gallery, pages = map(importlib.import_module, ("gallery", "pages"))


@pytest.fixture(scope="module")
def site():
    """The text of every page, by its place in docs/, as Sphinx reads it."""
    written = {path.name: pages.filled(path.read_text()) for path in DOCS.glob("*.md")}
    return written | pages.made()


def test_the_map_has_each_chapter_with_its_commands_and_figures(site):
    parts = re.split(r"^## ", site["course.md"], flags=re.M)[1:]
    assert [part.splitlines()[0] for part in parts] == [chapter.title for chapter in course.CHAPTERS]
    recipes = {recipe["name"]: recipe for recipe in RECIPES}
    for part, chapter in zip(parts, course.CHAPTERS, strict=True):
        assert re.search(r"\bdlrun \S", part), chapter.title
        for name in chapter.recipes:
            assert f"`{pages.command(recipes[name])}`" in part
            assert pages.prose(recipes[name]["headline"]) in part
        assert all(command in part for command in chapter.commands)
    assert all(f"dlrun show example={name}\n" in site["course.md"] for name in EXAMPLES.names())


def test_a_page_of_a_recipe_has_its_whole_header(site):
    for recipe in RECIPES:
        words = re.sub(r"\\(.)", r"\1", site[f"recipes/{recipe['name']}.md"]).replace("\n", " ")
        for line in catalogue.header(recipe["name"], []):
            text = line.strip().removeprefix("Reached:").removeprefix("Smoke:").partition(" with trainer=smoke")[0]
            assert text.strip(" .") in words, (recipe["name"], line)


def test_each_key_of_the_reference_is_explained(site):
    rows = [
        row for page, text in site.items() if page.startswith("reference/") for row in re.findall(r"^\| .*", text, re.M)
    ]
    assert len(rows) > 800
    bare = {row.split("|")[1].strip() for row in rows if not row.split("|")[-2].strip()}
    assert bare <= {"`device.name`", "`sweeper.name`"}  # what the options of the group are, says the page


def test_the_reference_has_each_key_of_each_option_with_its_type_and_default(site):
    for group, entries in registry.registries().items():
        parts = dict(part.split("\n", 1) for part in re.split(r"^## ", site[f"reference/{group}.md"], flags=re.M)[1:])
        for option, described in entries.descriptions():
            for key in described.parameters:
                if (group, key) != ("task", "spec"):
                    assert f"| `{group}.{key}` |" in parts[f"{group}={option}"]
    for group, (kind, _) in pages.SECTIONS.items():
        for field in kind.__dataclass_fields__:
            assert f"`{group}.{field}`" in site[f"reference/{group}.md"] or field == "name"
    rows = dict(re.findall(r"^\| `trainer\.(\w+)` \| (.*) \|$", site["reference/trainer.md"], re.M))
    assert rows["epochs"].startswith("an integer of at least 1 | `15` |")
    assert rows["warmup_steps"].endswith("| optimizer steps with a linearly rising learning rate")
    assert all(row.split(" | ")[2] for key, row in rows.items() if key != "epochs")


def test_the_reference_has_each_key_that_a_run_has(site):
    tree = compose.tree([], [])
    groups = {key: value for key, value in tree.items() if isinstance(value, dict)}
    known = {f"{group}.{key}" for group, keys in groups.items() for key in keys if key != "name"} | tree.keys() - groups
    text = "".join(site[name] for name in site if name.startswith("reference/"))
    assert {key for key in known if f"`{key}`" not in text} == set()
    check.parse(tree)


def test_comments_of_a_file_are_found_behind_a_key_and_above_it(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(
        '# What it is,\n# in two lines.\nname: x\none: "a # b"  # of one\n'
        "# texts\n# of two\ntwo: [1]\nin:\n  a: 1 # of a\n"
    )
    found = pages.comments(path)
    assert found[""] == "What it is, in two lines."
    assert (found["one"], found["two"], found["in.a"]) == ("of one", "texts of two", "of a")


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("a_b * [c]", r"a\_b \* \[c\]"),
        ("`a_b` of c_d", r"`a_b` of c\_d"),
        ("a ` alone", r"a \` alone"),
        ("<root>", r"\<root\>"),
    ],
)
def test_prose_means_nothing_but_code_to_markdown(text, markdown):
    assert pages.prose(text) == markdown


def test_a_bar_stays_within_its_cell():
    assert pages.table(["a"], [["b|c"]]) == "| a |\n| --- |\n| b\\|c |"


def test_links_lead_somewhere(site):
    for name, text in site.items():
        folder = (DOCS / name).parent
        targets = re.findall(r"\]\(((?!https?:)[^)#\s]+)", text)
        targets += re.findall(r"^```\{(?:literal)?include\} (\S+)", text, re.M)
        for target in targets:
            place = (folder / target).resolve()
            is_made = place.is_relative_to(DOCS) and str(place.relative_to(DOCS)) in site
            assert is_made or place.exists(), f"{name}: {target}"
        for tree in re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.M | re.S):
            for entry in tree.split("\n\n", 1)[1].split():
                assert entry == "*" or f"{entry}.md" in site, f"{name}: {entry}"


def test_what_is_made_is_written_only_where_it_changed(tmp_path, monkeypatch):
    texts = {"recipes/a.md": "one", "reference/b.md": "two"}
    monkeypatch.setattr(pages, "made", lambda: texts)
    pages.write(tmp_path)
    before = (tmp_path / "recipes/a.md").stat().st_mtime_ns
    texts = {"recipes/a.md": "one", "reference/c.md": "three"}
    pages.write(tmp_path)
    assert (tmp_path / "recipes/a.md").stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.rglob("*.md")) == ["a.md", "c.md"]


def test_pictures_are_small_and_belong_to_recipes():
    paths = list((DOCS / "gallery").iterdir())
    assert {path.name.split(".")[0] for path in paths} <= {recipe["name"] for recipe in RECIPES}
    assert sum(path.stat().st_size for path in paths) < 100_000 * len(RECIPES)
    for path in paths:
        with Image.open(path) as picture:
            assert picture.mode == "P"
            assert picture.width <= gallery.WIDTH


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe["name"])
def test_the_command_behind_the_pictures_composes(recipe):
    flags = [word for word in gallery.words(recipe) if word.startswith("-")]
    assert flags in ([], ["-m"])
    for job in compose.expand([word for word in gallery.words(recipe) if word not in flags], []):
        check.parse(compose.tree(job, []))


def test_what_a_recipe_goes_on_from_is_made_first_and_a_place_of_files_is_given():
    by_name = {recipe["name"]: recipe for recipe in RECIPES}
    assert gallery.before(by_name["transfer"]) == [["experiment=transfer_source"]]
    assert [name for name, recipe in by_name.items() if gallery.before(recipe)] == ["transfer"]
    membrane = gallery.words(by_name["unet_membrane"], ["data.root=slices"])
    assert membrane == ["experiment=unet_membrane", "data.root=slices"]


def test_seconds_are_read_from_a_header():
    assert gallery.seconds({"time": "1 to 25 s"}) == 25
    assert gallery.seconds({"time": "6.3 min"}) == pytest.approx(378)
    assert gallery.seconds({"time": None}) == float("inf")


def test_pictures_of_a_run_are_kept_and_a_failed_one_loses_none(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "PICTURES", tmp_path)
    kept = gallery.make({"name": "mine", "command": "dlrun experiment=message_passing trainer=smoke"})
    assert [path.name for path in kept][::3] == ["mine.graph.png", "mine.learning_curves.png"]
    assert gallery.pictures("mine") == kept
    with pytest.raises(RuntimeError, match=r"mine: exit code 2\n.*dlrun: error: "):
        gallery.make({"name": "mine", "command": "dlrun model=cnn data=line"})
    assert gallery.pictures("mine") == kept


class Links(html.parser.HTMLParser):
    """What a page of the site points to, and the anchors in it."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.targets += [values[key] for key in ("href", "src") if values.get(key)]
        self.anchors |= {values["id"]} if values.get("id") else set()


@pytest.mark.skipif(importlib.util.find_spec("sphinx") is None, reason="needs the extra docs")
def test_the_site_is_built_without_a_warning_and_each_link_in_it_works(tmp_path):
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", DOCS, tmp_path]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {path.resolve(): Links(path.read_text()) for path in tmp_path.rglob("*.html")}
    assert len(found) > len(RECIPES)
    for path, page in found.items():
        for target in page.targets:
            if re.match(r"(https?|data|mailto):", target):
                continue
            file, _, anchor = target.partition("#")
            place = (path.parent / file.split("?")[0]).resolve() if file else path
            assert place.exists(), f"{path.name}: {target}"
            assert not anchor or place not in found or anchor in found[place].anchors, f"{path.name}: {target}"
