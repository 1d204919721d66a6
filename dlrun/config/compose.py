"""From the words of a command line to one plain config tree: the only importer of Hydra.

Hydra merges config.yaml, the chosen files of each group and the experiment; the values given
on the command line are laid on top as Hydra would. Its own messages are replaced by one line
each, and unknown keys are let through on purpose: `check.parse` knows all keys and can name
the nearest.
"""

import contextlib
import copy
import difflib
import functools
import itertools
import json
import pathlib
import shlex
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, ParamSpec, TypeVar

import hydra
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from dlrun import disk
from dlrun.config import places, registry, schema, stand_ins, yaml_file
from dlrun.errors import UserError

P = ParamSpec("P")
T = TypeVar("T")

# Hydra before 1.4 wants to be told, 1.4 warns when it is.
VERSION_BASE: dict[str, Any] = {} if hydra.__version__ >= "1.4" else {"version_base": "1.3"}
MAX_JOBS = 10_000
STORAGE = "sweeper.storage"
TRACKING, ONLINE = "logger.tracking_uri", "logger.online"
PLACES = ("outputs", "folder", "sweep.folder", STORAGE, TRACKING, ONLINE)  # where a run or a sweep writes
# What Hydra has once a process, beside its plug-ins and what is stored for it; and whose turn it is to have it.
_SINGLE = (GlobalHydra, VersionBase)
_TURN = threading.RLock()
SMOKE = "smoke"  # the trainer that only asks whether something runs
# The files of Hydra's own launcher, logging and help, which nothing here reads: most of the time it takes to compose.
HYDRAS_OWN = [
    f"~hydra/{group}"
    for default in HydraConf().defaults
    for group, option in dict(default).items()
    if option is not None
]


def _in_turn(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator: threads wait for each other, since Hydra knows one config at a time."""

    @functools.wraps(function)
    def waiting(*args: P.args, **kwargs: P.kwargs) -> T:
        with _TURN:
            return function(*args, **kwargs)

    return waiting


def groups(config_dirs: list[str]) -> dict[str, list[str]]:
    """Every config group and its options: the package's, then the user's, then plug-ins."""
    found: dict[str, set[str]] = {"experiment": set()}
    for folder in (places.conf_folder(), *map(pathlib.Path, config_dirs)):
        for path in folder.glob("*/*.yaml"):
            found.setdefault(path.parent.name, set()).add(path.stem)
    for kind, entries in registry.registries().items():
        found.setdefault(kind, set()).update(entries.plugin_names())
    return {group: sorted(options) for group, options in sorted(found.items())}


def tree(overrides: list[str], config_dirs: list[str]) -> dict[str, Any]:
    """The composed config as plain containers. **Raises:** `UserError`, one line a mistake."""
    return Composer(config_dirs).tree(overrides)


def parse(overrides: list[str]) -> list[Override]:
    """Hydra's reading of `key=value` words. **Raises:** `UserError` that quotes the word."""
    parsed = []
    for word in overrides:
        override = _read(word)
        if override is None or not override.key_or_group:
            raise UserError(f"cannot read {word!r}: {_explain_word(word)}")
        parsed.append(override)
    return parsed


def expand(overrides: list[str], config_dirs: list[str]) -> list[list[str]]:
    """The jobs of a sweep: every combination of the values that an override lists.

    `model=mlp,cnn seed=range(0,2)` gives four lists of overrides, the last key turning fastest.

    **Raises:** `UserError` for values that cannot be listed, and for more jobs than anyone means.
    """
    axes = []
    for override in parse(overrides):
        key, listed = override.get_key_element(), override.value()
        if override.is_interval_sweep():
            raise UserError(f"{override.input_line}: has no end of values; list them: {key}=0.1,0.2 or range(1,10,2)")
        if isinstance(listed, Glob):
            options = listed.filter(groups(config_dirs).get(override.key_or_group, []))
            axes.append([f"{key}={option}" for option in options])
        elif override.is_sweep_override():
            values = itertools.islice(override.sweep_string_iterator(), MAX_JOBS + 1)
            axes.append([f"{key}={value}" for value in values])
        else:
            axes.append([override.input_line or ""])
        if not axes[-1]:
            raise UserError(f"{override.input_line}: stands for no value at all")
    jobs = [list(job) for job in itertools.islice(itertools.product(*axes), MAX_JOBS + 1)]
    if len(jobs) > MAX_JOBS:
        raise UserError(f"sweep: these are more than {MAX_JOBS} jobs; list fewer values")
    return jobs


def word(key: str, value: Any) -> str:
    """`key=value` as the command line takes it, in quotes where `value` is a text that needs them."""
    if not isinstance(value, str):
        return f"{key}={json.dumps(value, separators=(',', ':'))}"
    plain = _read(f"{key}={value}")
    is_read_back = plain is not None and not plain.is_sweep_override() and plain.value() == value
    return f"{key}={value if is_read_back else _quoted(value)}"


class Composer:
    """Composes configs from the package's folder and the user's; the same files are merged once.

    **Raises:** `UserError` if a folder of `config_dirs` is not there or hides behind the package's files.
    """

    shipped: ClassVar[dict[tuple[str, ...], DictConfig]] = {}

    @_in_turn
    def __init__(self, config_dirs: list[str]):
        registry.load_plugins()
        Plugins.instance().register(_UserFiles)
        _store_plugins(config_dirs)
        for folder in config_dirs:
            if not pathlib.Path(folder).is_dir():
                raise UserError(f"--config-dir: no folder {folder}")
            for path in sorted(pathlib.Path(folder).glob("*/*.yaml")):
                if (places.conf_folder() / path.parent.name / path.name).exists():
                    raise UserError(f"{path}: dlrun has a {path.parent.name}={path.stem} of its own; rename this file")
        self.groups = groups(config_dirs)
        self.config_dirs = config_dirs
        self.said: set[str] = set()
        # The package's own files do not change; a user's may, and what a plug-in registers is one.
        has_own = config_dirs or any(entries.plugin_names() for entries in registry.registries().values())
        self.merged = {} if has_own else Composer.shipped

    @_in_turn
    def tree(self, overrides: list[str]) -> dict[str, Any]:
        """The config that `overrides` stand for. **Raises:** `UserError`."""
        choices: dict[str, Override] = {}
        values: list[Override] = []
        key = "config"
        for whole in parse(overrides):
            for override in _apart(whole) if isinstance(whole.value(), dict) else [whole]:
                if self._is_choice(override):
                    choices[override.key_or_group] = override
                else:
                    values.append(override)
        try:
            config = self._merge(choices)
            _refuse_places(config, {override.key_or_group for override in values})
            trainer = str(choices["trainer"].value()) if "trainer" in choices else None
            if trainer is not None:
                values = self._said_by_trainer(trainer) + values
            if trainer == SMOKE and "data" not in choices:
                config, values = self._with_stand_in(config, choices, values)
            self._drop_keys_of_others(config, choices)
            for override in values:
                key = override.key_or_group
                OmegaConf.update(config, key, override.value(), force_add=True)
            return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
        except (HydraException, OmegaConfBaseException, yaml.YAMLError, RecursionError) as error:
            raise UserError(f"config: {_one_line(error)}") from error
        except ValueError as error:
            # A list has no keys but numbers.
            raise UserError(f"{key}: cannot be set: {_one_line(error)}") from error

    def _merge(self, choices: dict[str, Override]) -> DictConfig:
        """config.yaml and the chosen files, merged by Hydra."""
        words = [(choice.input_line or "").lstrip("+") for choice in choices.values() if choice.value() is not None]
        known = tuple(words)
        if known not in self.merged:
            if self.config_dirs:
                searched = [f"{_UserFiles.scheme()}://{pathlib.Path(folder).resolve()}" for folder in self.config_dirs]
                words.append(f"hydra.searchpath=[{','.join(map(_quoted, searched))}]")
            with _own_hydra(), initialize_config_dir(str(places.conf_folder()), job_name="dlrun", **VERSION_BASE):
                self.merged[known] = compose("config", [*words, *HYDRAS_OWN])
        return copy.deepcopy(self.merged[known])

    def _said_by_trainer(self, option: str) -> list[Override]:
        """What the file of a trainer says: who chooses one means it, whatever an experiment says of the same keys."""
        return parse([word(f"trainer.{key}", value) for key, value in self._file("trainer", option).items()])

    def _with_stand_in(
        self, config: DictConfig, choices: dict[str, Override], values: list[Override]
    ) -> tuple[DictConfig, list[Override]]:
        """`config` with other data, where a recipe's are not here: a smoke run downloads nothing."""
        data = copy.deepcopy(config.data)
        for override in values:
            if override.key_or_group.startswith("data."):
                OmegaConf.update(data, override.key_or_group.removeprefix("data."), override.value(), force_add=True)
        instead = stand_ins.needed(OmegaConf.to_container(data))  # type: ignore[arg-type]
        if instead is None:
            return config, values
        note = f"data={data.name} is not here, and trainer={SMOKE} downloads nothing: {instead} takes its place"
        if note not in self.said:
            self.said.add(note)
            print(f"dlrun: note: {note}", file=sys.stderr)
        (override,) = parse([instead])
        if not self._is_choice(override):
            return config, [override, *values]
        choices["data"] = override
        return self._merge(choices), values

    def _drop_keys_of_others(self, config: DictConfig, choices: dict[str, Override]) -> None:
        """Takes out of `config` what an experiment sets of an option that another was chosen for, and says it once."""
        chosen = {group: str(choice.value()) for group, choice in choices.items()}
        experiment = chosen.get("experiment", "None")
        for group, option in chosen.items():
            if group not in registry.TABLES or option not in registry.of(group):
                continue
            known = {"name", *registry.of(group).describe(option).parameters}
            foreign = [str(key) for key in self._file("experiment", experiment).get(group) or {} if key not in known]
            with open_dict(config):
                for key in foreign:
                    config[group].pop(key, None)
            keys = schema.few(f"{group}.{key}" for key in foreign)
            note = f"experiment={experiment} sets {keys}, which {group}={option} does not have: left out"
            if foreign and note not in self.said:
                self.said.add(note)
                print(f"dlrun: note: {note}", file=sys.stderr)

    def _file(self, group: str, option: str) -> dict[str, Any]:
        """The keys that the file of an option says, without its defaults."""
        folders = [places.conf_folder(), *map(pathlib.Path, self.config_dirs)]
        for path in (folder / group / f"{option}.yaml" for folder in folders):
            if path.is_file():
                read = yaml.safe_load(disk.text(path))
                return (
                    {key: value for key, value in read.items() if key != "defaults"} if isinstance(read, dict) else {}
                )
        return {}

    def _is_choice(self, override: Override) -> bool:
        """Whether `override` chooses a file of a group. **Raises:** `UserError` if it can mean nothing here."""
        line, key = " ".join((override.input_line or "").split()), override.key_or_group
        if yaml_file.is_computed(line):
            raise UserError(f"{line}: {yaml_file.REFERENCES}")
        if override.is_sweep_override():
            raise UserError(f"{line}: lists several values; add -m to run one job for each")
        if override.is_delete():
            raise UserError(f"{line}: a run needs each of its keys; change it with {key}=VALUE")
        if override.package is not None:
            raise UserError(f"{line}: a group has one place; write {key}=NAME")
        if key.partition(".")[0].partition("/")[0] == "hydra":
            raise UserError(f"{line}: Hydra's own keys do nothing here; see outputs, folder and --config-dir")
        group = key.removesuffix(".name")
        if group != key and group in registry.TABLES:
            raise UserError(f"{line}: choose with {group}=NAME ({', '.join(self.groups[group])})")
        if key not in self.groups or isinstance(override.value(), dict):
            return False
        allowed, option = self.groups[key], override.value()
        is_left_out = key == "experiment" and option is None
        if str(option) not in allowed and not is_left_out:
            near = schema.suggest(str(option), allowed)
            raise UserError(f"{key}: no option {str(option)!r}{near} ({key} options: {', '.join(allowed) or 'none'})")
        return True


@contextlib.contextmanager
def _own_hydra() -> Iterator[None]:
    """A Hydra of ours: a program that has dlrun as a library may have one of its own, and keeps it."""
    theirs = {kind: Singleton._instances.pop(kind) for kind in _SINGLE if kind in Singleton._instances}
    try:
        yield
    finally:
        for kind in _SINGLE:
            Singleton._instances.pop(kind, None)
        Singleton._instances.update(theirs)


class _UserFiles(FileConfigSource):
    """A folder given by --config-dir: a file is checked before OmegaConf expands it."""

    @staticmethod
    def scheme() -> str:
        return "dlrun"

    def load_config(self, config_path: str) -> ConfigResult:
        path = pathlib.Path(self.path) / self._normalize_file_name(config_path)
        yaml_file.check(path)
        try:
            return super().load_config(config_path)
        except yaml.YAMLError as error:
            raise UserError(f"{path}: {yaml_file.explain(error)}") from error


def _store_plugins(config_dirs: list[str]) -> None:
    """A plug-in needs no YAML: its options come from its signature, required ones as null."""
    store = ConfigStore.instance()
    for kind, entries in registry.registries().items():
        for name in entries.plugin_names():
            if any(pathlib.Path(folder, kind, f"{name}.yaml").exists() for folder in config_dirs):
                continue
            parameters = entries.describe(name).parameters.values()
            node = {p.name: None if p.default is schema.REQUIRED else p.default for p in parameters}
            # Hydra 1.4 warns where one is stored again, by a word that 1.3 does not know.
            store.repo.get(kind, {}).pop(f"{name}.yaml", None)
            try:
                store.store(group=kind, name=name, node={"name": name, **node})
            except OmegaConfBaseException as error:
                raise UserError(
                    f"{kind} {name!r} (a plug-in): its defaults must be plain: {_one_line(error)}"
                ) from error


def _refuse_places(config: DictConfig, given: set[str]) -> None:
    """**Raises:** `UserError` if a file, and not the command line, says to write outside of the working directory."""
    here = pathlib.Path.cwd()
    for key in PLACES:
        place = OmegaConf.select(config, key)
        if key in given or not place:
            continue
        path = str(place).removeprefix("sqlite:///" if key in (STORAGE, TRACKING) else "")
        is_elsewhere = "://" in path or key == ONLINE
        if is_elsewhere or not (here / path).resolve().is_relative_to(here):
            whither = "which sends it elsewhere" if is_elsewhere else "which is outside of the working directory"
            raise UserError(
                f"{key}: a config file says {word(key, place).partition('=')[2]}, {whither}; if you mean that, "
                f"give it on the command line: {word(key, place)}"
            )


def _apart(override: Override) -> list[Override]:
    """`model={name:gin,readout:max}` as `model=gin` and `model.readout=max`; any other word as it is.

    A sweep can so list options of a group together with keys that only some of them have.
    """
    group, value = override.key_or_group, override.value()
    if group not in registry.TABLES or not isinstance(value, dict) or "name" not in value:
        return [override]
    keys = {str(key): part for key, part in value.items() if key != "name"}
    return parse([word(group, str(value["name"])), *(word(f"{group}.{key}", part) for key, part in keys.items())])


@_in_turn
def _read(word: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(word)
    except (HydraException, RecursionError):
        return None


def _explain_word(word: str) -> str:
    key, equals, value = word.partition("=")
    if not equals:
        return _explain_bare(word)
    is_list = value.startswith("[") and value.endswith("]")
    items = ",".join(_quoted(item.strip().strip("\"'")) for item in value[1:-1].split(",")) if is_list else ""
    quoted = f"{key}=[{items}]" if is_list else f"{key}={_quoted(value)}"
    reading = _read(quoted)
    if word.isprintable() and reading is not None and reading.key_or_group:
        return f"a value with such characters needs quotes inside quotes: {shlex.quote(quoted)}"
    return "write key=value, or see dlrun --help"


def _explain_bare(word: str) -> str:
    """What somebody may have meant by a word without `=`."""
    known = groups([])
    if word in known:
        return f"choose with {word}=NAME ({', '.join(known[word])})"
    owners: dict[str, list[str]] = {}
    for group, options in known.items():
        for option in options:
            owners.setdefault(option, []).append(f"{group}={option}")
    near = [word] if word in owners else difflib.get_close_matches(word, owners, 1)
    if near:
        return f"did you mean {' or '.join(owners[near[0]])}?"
    return "write key=value, or see dlrun --help"


def _quoted(text: str) -> str:
    return QuotedString(text, Quote.double).with_quotes()


def _one_line(error: Exception) -> str:
    if isinstance(error, yaml.YAMLError | RecursionError):
        return yaml_file.explain(error)
    # Hydra puts the reason behind its own exception; OmegaConf puts the key below its message.
    reason = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    lines = [line.strip() for line in str(reason).splitlines() if line.strip()]
    key = getattr(reason, "full_key", None)
    return f"{key}: {lines[0]}" if key and lines else lines[0] if lines else type(error).__name__
