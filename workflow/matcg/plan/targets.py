"""The targets of an experiment, and whether what it names is in its catalog and rules."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matcg.config.arm import EACH, HELD_OUT, Covering, OfCombinations, OfRule, Trained
from matcg.config.catalog import ASKED, Catalog
from matcg.config.experiment import Experiment
from matcg.config.rule import Listed, Rule
from matcg.errors import ConfigError, nearest
from matcg.plan.combinations import select
from matcg.plan.records import Excluded


@dataclass(frozen=True)
class Scope:
    """An experiment with what its names stand for; `limit` bounds its targets."""

    experiment: Experiment
    catalog: Catalog
    rules: Mapping[str, Rule]
    limit: int | None = None

    def error(self, text: str) -> ConfigError:
        """Return the error that names the experiment's file; `text` starts with the key."""
        return ConfigError(f"{self.experiment.where}: {text}")

    def excluded(self, target: str, rule: str, arm: str, reason: str) -> Excluded:
        """Return the record of something that is not run."""
        return Excluded(self.experiment.name, self.catalog.name, target, rule, arm, reason)

    def check(self) -> None:
        """Raise ConfigError where rules do not suit their arms, or a name is not known."""
        labels = {row.label for row in self._listed()}
        for label in self.experiment.choose.labels:
            if label not in labels:
                raise self.error(
                    f"choose.labels: no rule lists a combination '{label}'.{nearest(label, labels)}"
                )
        for name in self.experiment.rules:
            if self.rules[name].target != "held-out":
                raise self.error(
                    f"rules: '{name}' trains on the target itself; it can give the sources of an"
                    " arm of its own, not of 'cg'"
                )
        for name, arm in self.experiment.arms.items():
            rule = self.rules[arm.rule] if isinstance(arm, OfRule) else None
            if name in HELD_OUT and rule and rule.target != "held-out":
                raise self.error(f"arms.{name}.rule: '{rule.name}' trains on the target itself")
            if isinstance(arm, Covering):
                self._check_elements(f"arms.{name}.covers", arm.covers)
            if isinstance(arm, OfCombinations) and arm.reduced:
                self._check_reduced(name, arm)
            if isinstance(arm, Trained) and arm.targets:
                self._check_targets(f"arms.{name}.targets", arm.targets)
        general = {subset.id for subset in self.catalog.general}
        for name in self.experiment.general:
            if name not in general:
                raise self.error(
                    f"general.{name}: catalog '{self.catalog.name}' has no such set below"
                    f" `general`.{nearest(name, general)}"
                )

    def _check_elements(self, key: str, names: Iterable[str], *more: str) -> None:
        valid = [*self.catalog.elements, *more]
        for element in names:
            if element not in valid:
                raise self.error(
                    f"{key}: catalog '{self.catalog.name}' has no element"
                    f" '{element}'.{nearest(element, valid)}"
                )

    def _check_targets(self, key: str, names: Iterable[str]) -> None:
        targets = self.targets()
        for name in names:
            if name not in targets:
                raise self.error(
                    f"{key}: '{name}' is no target of this experiment.{nearest(name, targets)}"
                )

    def _check_reduced(self, name: str, arm: OfCombinations) -> None:
        self._check_elements(f"arms.{name}.knock_out", arm.knock_out, EACH)
        for element in self.catalog.elements:
            if f"{name}-{element}" in self.experiment.arms:
                raise self.error(
                    f"arms.{name}-{element}: arm '{name}' makes one of this name; rename either"
                )

    def targets(self) -> list[str]:
        """Return the ids of the targets, sorted, each once.

        Raises:
            ConfigError: no such subset, element or value, with the nearest valid one.
        """
        found: set[str] = set()
        for position, target in enumerate(self.experiment.targets):
            key = f"targets[{position}]"
            if isinstance(target, str):
                found.add(self._subset(target, key))
            else:
                found.update(self._fitting(target, key))
        return sorted(found) if self.experiment.targets else self._listed_targets()

    def _subset(self, name: str, key: str) -> str:
        try:
            return self.catalog.subset(name).id
        except ConfigError as error:
            raise self.error(f"{key}: {error}") from None

    def _fitting(self, pattern: Mapping[str, Sequence[str]], key: str) -> list[str]:
        """Return the subsets that fit a pattern of elements with their values."""
        name, subsets = self.catalog.name, self.catalog.subsets
        elements = {*self.catalog.elements, *ASKED}
        for element, values in pattern.items():
            if element not in elements:
                raise self.error(
                    f"{key}.{element}: catalog '{name}' has no element '{element}'."
                    f"{nearest(element, elements)}"
                )
            valid = {value for subset in subsets for value in subset.values(element)}
            for value in values:
                if value not in valid:
                    raise self.error(
                        f"{key}.{element}: catalog '{name}' has no {element} '{value}'."
                        f"{nearest(value, valid)}"
                    )
        found = select(subsets, pattern)
        if not found:
            raise self.error(f"{key}: no subset of catalog '{name}' is all of these")
        asked = [each for each in found if self._is_asked(each, pattern)]
        if not asked:
            raise self.error(
                f"{key}: the subsets that are all of these ask for an element itself; add"
                f" `asks: {self.catalog.subset(found[0]).asks}`, if that is what you mean"
            )
        return asked

    def _is_asked(self, name: str, pattern: Mapping[str, Sequence[str]]) -> bool:
        """Tell whether a subset that fits a pattern is a target: one that asks for an element
        itself tells most of its answer by its place in the grid.
        """
        return "asks" in pattern or not self.catalog.subset(name).asks

    def not_asked(self) -> Iterable[Excluded]:
        """Yield the subsets that fit a pattern of targets, and are none, as records."""
        targets = self.targets()
        for pattern in self.experiment.targets:
            for name in () if isinstance(pattern, str) else select(self.catalog.subsets, pattern):
                if name not in targets:
                    element = self.catalog.subset(name).asks
                    reason = f"asks for the {element} itself; `asks: {element}` would take it"
                    yield self.excluded(name, "", "", reason)

    def _listed(self) -> Iterable[Listed]:
        """Return the listed combinations of the experiment's rules."""
        return [row for name in self.experiment.rules for row in self.rules[name].listed]

    def _listed_targets(self) -> list[str]:
        """Return the targets of the listed combinations that the experiment takes."""
        labels = set(self.experiment.choose.labels)
        found = {row.target for row in self._listed() if not labels or row.label in labels}
        if not found:
            raise self.error(
                "targets: is missing; name subsets to hold out, or rules with `listed` combinations"
            )
        return sorted(found)
