"""The models for tables."""

import pytest
from sklearn.model_selection import ParameterSampler

from benchmarks.models import catalogue, tuned


class TestModels:
    def test_names(self):
        rivals = catalogue.expand(["rivals", "skdam", "svc"])
        assert rivals == [*catalogue.RIVALS, "skdam"]
        assert set(catalogue.expand(["all"])) == set(catalogue.MODELS)
        with pytest.raises(ValueError, match="'no-model' is no model and no group"):
            catalogue.expand(["no-model"])

    @pytest.mark.parametrize("base", tuned.SPACES)
    def test_search_spaces_consist_of_existing_parameters(self, base):
        if not catalogue.MODELS[base].is_available:
            pytest.skip(f"{catalogue.MODELS[base].needs} is absent")
        search = catalogue.create(f"tuned-{base}", 0)
        assert search.n_iter == tuned.N_TRIALS
        for parameters in ParameterSampler(tuned.SPACES[base], n_iter=3, random_state=0):
            search.estimator.set_params(**parameters)

    @pytest.mark.parametrize("repaired", [True, False])
    def test_the_phases_of_libauc(self, repaired, toy, monkeypatch):
        pytest.importorskip("libauc")
        from benchmarks.models import libauc_training

        phases = []

        class Recording(libauc_training.PDSCA):
            def step(self):
                phases.append("inner" if self.loss_fn.alpha.grad is None else "outer")
                super().step()

        monkeypatch.setattr(libauc_training, "PDSCA", Recording)
        monkeypatch.setattr(libauc_training, "N_EPOCHS", 5)
        libauc_training.LibAUCClassifier(repaired=repaired).fit(*toy)
        later = ["inner", "outer"] if repaired else ["outer", "outer"]
        assert phases == ["inner", "outer", *later * 4]
