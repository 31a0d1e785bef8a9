"""Every config under configs/ is valid and builds; wrong ones fail with a line that helps."""

import pathlib

import pytest

from sact_tf.errors import UserError
from sact_tf.training.classification import builders
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.config.loading import dump_config, load_config, parse_overrides
from sact_tf.training.config.sections import TrainConfig

ROOT = pathlib.Path(__file__).parents[2] / "configs"
# Other programs' configs have classes, and tests, of their own.
# Of single runs; `tradeoff.yaml` and its like describe many (test_tradeoff.py).
FILES = sorted(
    path
    for path in ROOT.rglob("*.yaml")
    if not path.name.startswith("tradeoff") and path.parent.name != "coco"
)


def load(path=None, *overrides):
    return load_config(ClassificationConfig, path, overrides)


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def digits(**model):
    """A config of few words that is valid."""
    lines = [f"  {key}: {value}" for key, value in model.items()]
    return "\n".join(
        ["model:", "  network: cifar", "  units_per_block: 1", *lines]
        + ["train: {learning_rate: {initial: 0.1}}", ""]
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_config_is_valid_and_survives_its_own_resolved_form(path, tmp_path):
    config = load(path)
    resolved = write(tmp_path, dump_config(config))
    assert load(resolved).as_dict() == config.as_dict()
    head = path.read_text().split("\nmodel:")[0]
    assert f"--config={path.relative_to(ROOT.parent)}" in head
    assert "Cost" in head or "cost" in head


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_config_builds_its_network(path):
    # A narrow one: what is built does not depend on the width.
    config = load(path, "model.base_channels=4,model.stem_channels=4")
    backbone = builders.build_backbone(config.model, config.train.weight_decay)
    built = backbone.get_config()
    assert built["halting"] == config.model.halting
    assert built["weight_decay"] == config.train.weight_decay
    if config.model.halting:
        assert built["ponder_weight"] == pytest.approx(config.model.ponder_weight)
        assert built["halting_bias"] == config.model.halting_bias
    units = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}.get(
        config.model.depth, (config.model.units_per_block,) * 3
    )
    assert tuple(built["units"]) == units


def test_paper_hyperparameters():
    imagenet = load(ROOT / "imagenet/sact_tau0005.yaml")
    assert imagenet.data.tfds.label_offset == 1 and imagenet.data.tfds.num_classes == 1001
    assert imagenet.train.label_smoothing == 0.1 and imagenet.train.batch_size == 32
    cifar = load(ROOT / "cifar10/sact.yaml")
    assert cifar.train.learning_rate.values == [0.1, 0.01, 0.001, 0.0001]
    assert cifar.model.ponder_weight == 0.01 and cifar.train.weight_decay == 2e-4


def test_model_options_arrive_in_the_backbone():
    config = load(
        None,
        "model.units=[1, 2, 1, 1],model.halting=sact,model.tile_size=[4, 2, 1, 1]",
        "model.base_channels=4,model.stem_channels=6,model.halting_epsilon=0.05",
        "model.halting_bias=-1.5,model.statistics=evaluated,model.ponder_weight=0.25",
        "train.learning_rate.initial=0.1",
    )
    built = builders.build_backbone(config.model, 3e-4).get_config()
    wanted = {
        "units": [1, 2, 1, 1], "tile_size": [4, 2, 1, 1], "base_channels": 4, "stem_channels": 6,
        "halting_epsilon": 0.05, "halting_bias": -1.5, "statistics": "evaluated",
        "ponder_weight": 0.25, "weight_decay": 3e-4, "execution": "masked",
    }  # fmt: skip
    for key, value in wanted.items():
        got = list(built[key]) if isinstance(value, list) else built[key]
        assert got == value, key


WRONG_FILES = {
    "unknown section": ("modle: {}\n", "modle", "unknown key; allowed here: data"),
    "unknown key": (digits(haltin="sact"), "model.haltin", "unknown key; allowed here: base_ch"),
    "text for a number": (digits(base_channels="wide"), "model.base_channels", "an int >= 1"),
    "number as a text": (digits(ponder_weight="'0.1'"), "model.ponder_weight", "a number >= 0"),
    "bool for a number": (digits(base_channels="true"), "model.base_channels", "True (bool)"),
    "float for an int": (digits(base_channels="8.0"), "model.base_channels", "8.0 (float)"),
    "zero channels": (digits(base_channels=0), "model.base_channels", "received 0"),
    "infinite": (digits(halting="sact", ponder_weight=".inf"), "model.ponder_weight", "inf"),
    "not a choice": (digits(halting="sacct"), "model.halting", "one of act, sact"),
    "null for a number": (digits() + "evaluation: {batch_size: null}\n", "evaluation.batch_size",
                          "received null"),
    "section as a value": ("model: 3\n", "model", "expected a section with"),
    "value as a section": (digits(halting="{a: 1}"), "model.halting", "received {'a': 1}"),
    "list in the wrong place": (digits(base_channels="[1]"), "model.base_channels", "received [1]"),
    "ACT in tiles": (digits(halting="act", tile_size=2), "model.tile_size", "only halting: sact"),
    "tiles without halting": (digits(tile_size=2), "model.tile_size", "halting: null, received 2"),
    "tiles of too few blocks": (digits(halting="sact", tile_size="[2, 2]"), "model.tile_size",
                                "one per block (3), received [2, 2]"),
    "tau without halting": (digits(ponder_weight=0.01), "model.ponder_weight", "must be null"),
    "bias without halting": (digits(halting_bias=-3), "model.halting_bias", "must be null"),
    "statistics of what is not computed": (
        digits(halting="sact", execution="tiled", statistics="full"),
        "model.statistics",
        "expected",
    ),
    "statistics without halting": (digits(statistics="evaluated"), "model.statistics", "expected"),
    "epsilon of one": (digits(halting="sact", halting_epsilon=1.0), "model.halting_epsilon", "< 1"),
    "depth of a cifar net": (digits(depth=50), "model.depth", "must be null with network: cifar"),
    "no such depth": ("model: {depth: 34}\n", "model.depth", "one of 50, 101, 152, 200"),
    "depth and units": ("model: {depth: 50, units: [1, 1, 1, 1]}\n", "model.depth", "exactly one"),
    "three blocks": ("model: {units: [1, 1, 1]}\n", "model.units", "per block (4)"),
    "no units": ("model: {network: cifar}\n", "model.units_per_block", "needs it"),
    "key twice": ("model: {depth: 50, depth: 101}\n", "line 1", "'depth' is given twice"),
    "no YAML": ("model: {depth: 50\n", "no valid YAML at line", ""),
    "a list": ("- model\n", "mine.yaml", "expected sections"),
    "empty": ("", "mine.yaml", "expected sections"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_file_names_file_key_and_what_is_allowed(case, tmp_path):
    text, key, message = WRONG_FILES[case]
    with pytest.raises(UserError) as raised:
        load(write(tmp_path, text))
    assert "mine.yaml" in str(raised.value)
    assert key in str(raised.value) and message in str(raised.value)
    assert "\n" not in str(raised.value)


WRONG_OVERRIDES = {
    "train.batch_size=-1": "train.batch_size: expected an int >= 1, received -1",
    "train.batch_size=": "train.batch_size: expected an int >= 1, received null",
    "train.seed=4294967296": "train.seed: expected an int >= 0 and <= 4294967295, received 42949",
    "data.cluttered_digits.seed=18446744073709551616": "seed: expected an int >= 0 and <= 42949",
    "train.batch_sise=1": "train.batch_sise: unknown key",
    "batch_size=1": "batch_size: unknown key",
    "train.batch_size.x=1": "train.batch_size: expected an int",
    "train.batch_size": "expected key=value",
    "train.momentum=1": "train.momentum: expected a number >= 0 and < 1",
    "train.label_smoothing=-0.1": "train.label_smoothing: expected",
    "train.learning_rate.schedule=linear": "one of constant, cosine, piecewise_constant",
    "train.learning_rate.initial=0": "> 0",
    "train.learning_rate.initial=null": "train.learning_rate.initial: schedule: constant needs it",
    "train.learning_rate.warmup_steps=1000": "less than train.steps (1000)",
    "train.learning_rate.boundaries=[1]": "train.learning_rate.boundaries: must be null",
    "train.learning_rate={schedule: piecewise_constant, initial: null, values: [1]}": "boundaries",
    "train.learning_rate={schedule: piecewise_constant, initial: null, values: [1, 2, 3],"
    " boundaries: [5]}": "expected one more than boundaries (2)",
    "train.learning_rate={schedule: piecewise_constant, initial: null, values: [1, 2, 3],"
    " boundaries: [9, 5]}": "expected ascending steps, received [9, 5]",
    "data.source=tfds": "data.tfds.name: source: tfds needs",
    "data.source=tfds,data.tfds.name=x,data.image_folder.train_dir=y": "data.image_folder: must be",
    "data.source=image_folder": "data.image_folder.train_dir: source: image_folder needs",
    "data={source: image_folder, image_folder: {train_dir: x, validation_dir: y,"
    " validation_fraction: 0.5}}": "data.image_folder.validation_fraction: expected null beside",
    "data={source: tfds, tfds: {name: x}, preprocessing: {image_size: [1]}}": "[height, width]",
    "data.preprocessing.name=cifar": "data.preprocessing: must be null",
    "data.skip_corrupt=true": "data.skip_corrupt: source: cluttered_digits has no files",
    "data.cluttered_digits.digit_size=99": "at most image_size (48), received 99",
    "data.cluttered_digits.distractor_size=30": "at most digit_size (24), received 30",
    "runtime.strategy=parallel": "runtime.strategy: expected one of one_device",
    "model.tile_size=[2, 2": "no valid YAML",
}


@pytest.mark.parametrize("override", WRONG_OVERRIDES)
def test_wrong_override_names_flag_and_key(override, tmp_path):
    with pytest.raises(UserError) as raised:
        load(write(tmp_path, digits(halting="sact")), override)
    assert "--params_override" in str(raised.value)
    assert WRONG_OVERRIDES[override] in str(raised.value)


def test_overrides_win_over_the_file_and_later_ones_over_earlier(tmp_path):
    path = write(tmp_path, digits(base_channels=8))
    config = load(path, "model.base_channels=16, train.seed=3", "model.base_channels=32")
    assert (config.model.base_channels, config.train.seed) == (32, 3)


def test_overrides_take_lists_texts_with_commas_and_exponents():
    text = "model.units=[1, 2],train.warm_start='x,y=z',train.momentum=1e-4,model.halting=null"
    parsed = parse_overrides(f"{text},data.skip_corrupt=true", ClassificationConfig)
    assert parsed == [
        ("model.units", [1, 2]), ("train.warm_start", "x,y=z"), ("train.momentum", 1e-4),
        ("model.halting", None), ("data.skip_corrupt", True),
    ]  # fmt: skip


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = write(tmp_path, digits())
    path.write_text(digits(), encoding="utf-8-sig")
    assert load(path) == load(write(tmp_path, digits()))


_TEXTS = {
    "/x/photos #2": "/x/photos #2",
    "/x/a: b": "/x/a: b",
    "010": "010",
    "1:30": "1:30",
    "2024-01-01": "2024-01-01",
    "1e5": "1e5",
    "1.5e3": "1.5e3",
    "true": "true",
    "~": "~",
    "~/photos": "~/photos",
    "*.jpg": "*.jpg",
    "/x/John's photos [1]": "/x/John's photos [1]",
    "[old] photos": "[old] photos",
    "a=b": "a=b",
    "/x/two  blanks": "/x/two  blanks",
    "'x, y'": "x, y",
    "'it''s'": "it's",
    '" ends "': " ends ",
    "'null'": "null",
    "/x/\udcff": "/x/\udcff",
    "'/x/\udcff,b'": "/x/\udcff,b",
    "/x/caf\u00e9 \u732b": "/x/caf\u00e9 \u732b",
    "null": None,
    "": None,
}


@pytest.mark.parametrize("given", _TEXTS)
def test_a_text_is_no_yaml_and_comes_back_from_the_saved_config(tmp_path, given):
    override = f"train.warm_start={given},train.steps=7"
    config = load(write(tmp_path, digits()), override)
    assert (config.train.warm_start, config.train.steps) == (_TEXTS[given], 7)
    again = load(write(tmp_path, dump_config(config)))
    assert again.train.warm_start == _TEXTS[given]


@pytest.mark.parametrize("name", ["my  photos", "my # photos", "my \udcff photos"])
def test_a_long_path_stays_on_one_line_of_the_saved_config(tmp_path, name):
    path = f"/a/{'long ' * 20}/{name}/train"
    config = load(write(tmp_path, digits()), f"train.warm_start={path}")
    written = path.encode("unicode_escape").decode()
    assert any(written.casefold() in line.casefold() for line in dump_config(config).splitlines())
    assert load(write(tmp_path, dump_config(config))).train.warm_start == path


@pytest.mark.parametrize("number", ["010", "1:30", "2024-01-01", "10 000", "ten"])
def test_what_could_be_another_number_is_refused(tmp_path, number):
    message = f"train.steps: expected an int >= 1, received '{number}' (str)"
    with pytest.raises(UserError) as raised:
        load(write(tmp_path, digits()), f"train.steps={number}")
    assert message in str(raised.value)
    with pytest.raises(UserError) as raised:
        load(write(tmp_path, digits().replace("initial: 0.1}", f"initial: 0.1}}, steps: {number}")))
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("given", "number"),
    [("1_000", 1000), ("0x10", 16), ("+5", 5), ("1", 1)],
)
def test_numbers_of_one_meaning_are_taken(tmp_path, given, number):
    assert load(write(tmp_path, digits()), f"train.steps={given}").train.steps == number


@pytest.mark.parametrize("number", [1e-05, 1.0, 0.1, 1.5e3, 1e22])
def test_floats_survive_the_saved_config(tmp_path, number):
    config = load(write(tmp_path, digits()), f"train.learning_rate.initial={number!r}")
    again = load(write(tmp_path, dump_config(config)))
    assert again.train.learning_rate.initial == config.train.learning_rate.initial == number


def test_defaults_follow_the_network(tmp_path):
    config = load(write(tmp_path, digits(halting="sact")))
    assert config.model.base_channels == 16
    assert config.model.ponder_weight == 0.005 and config.model.halting_bias == -3.0
    assert config.data.cluttered_digits.image_size == 48
    plain = load(write(tmp_path, digits()))
    assert plain.model.ponder_weight is None


def test_config_cannot_be_changed_afterwards(tmp_path):
    config = load(write(tmp_path, digits()))
    with pytest.raises(ValueError, match="locked"):
        config.train = TrainConfig()


def test_file_that_is_missing_is_named():
    with pytest.raises(UserError, match="configs/nothing.yaml"):
        load("configs/nothing.yaml")
