"""Reading every example once before it counts."""

from sact_tf.data.pipeline import trial_reading
from sact_tf.errors import UserError


def test_long_checks_say_how_far_they_are_and_warn_of_nothing(monkeypatch, capsys, caplog):
    monkeypatch.setattr(trial_reading, "_PROGRESS_SECONDS", 0)

    def read(index):
        if index == 1:
            raise UserError("damaged")

    assert list(trial_reading.unreadable(read, 3)) == [1]
    assert capsys.readouterr().err.splitlines()[-1] == "checking images: 3 of 3"
    assert caplog.messages == []
