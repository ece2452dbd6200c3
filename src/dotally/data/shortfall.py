"""What of a published data set is not there: a download that stopped half way trains without complaint."""

from collections.abc import Mapping

from dotally.data.crowd import CrowdDataModule
from dotally.data.published_module import PublishedDataModule
from dotally.data.roots import data_roots
from dotally.data.shanghaitech import ShanghaiTech
from dotally.data.shanghaitech_files import Split, find_part, known_facts

_SPLITS: tuple[Split, ...] = ("train", "test")


def shortfall(data: object) -> str:
    """Say in one line how many pictures of a published set are missing; nothing where all are there or nobody knows.

    Args:
        data: Any data module. Only counts of files are looked at: ``dotally data verify`` looks into them.

    Raises:
        DataError: The set is not there at all.
    """
    if not isinstance(data, CrowdDataModule):
        return ""
    name, known, found = _counted(data)
    lacking = [f"{found[split]:,} of {known[split]:,} {split}" for split in known if found[split] < known[split]]
    if not lacking:
        return ""
    return f"{name}: only {' and '.join(lacking)} pictures are here; `dotally data verify` lists what is missing"


def _counted(data: CrowdDataModule) -> tuple[str, Mapping[str, int], Mapping[str, int]]:
    """Return the set's name, how many pictures each split should have, and how many are there."""
    if isinstance(data, ShanghaiTech):
        folder, facts = find_part(data_roots(data.data_root), data.part), known_facts()[data.part]
        known: dict[str, int] = {split: len(facts[split]) for split in _SPLITS}
        return f"ShanghaiTech {data.part}", known, {split: len(folder.pictures(split)) for split in _SPLITS}
    if isinstance(data, PublishedDataModule):
        published = data.published
        records = published.find(data_roots(data.data_root)).records
        sure = {split: n for split, n in published.pictures.items() if split in records.keys() - published.unconfirmed}
        return published.name, sure, {split: len(records[split]) for split in sure}
    return "", {}, {}
