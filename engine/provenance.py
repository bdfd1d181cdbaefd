"""How a reading was made, out of what its kept files say of themselves: for a person to see. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def summary(parts: Iterable[tuple[int, Mapping[str, str]]]) -> dict[str, str]:
    """Of files as (tokens, provenance): policy, recall and recall_low, widened and dense, as far as they are known.

    recall: mean share of the far attention that the chosen keys kept, over the tokens whose reading was gauged;
    recall_low: the lowest 5th percentile over heads of any chunk; widened: tokens read with wider budgets than planned,
    or with all keys, because of their recall.
    """
    policies: list[str] = []
    gauged, kept, low, widened = 0, 0.0, 1.0, 0
    for tokens, said in parts:
        policy = said.get("policy")
        if policy is not None and policy not in policies:
            policies.append(policy)
        if "recall" in said:
            gauged += tokens
            kept += tokens * float(said["recall"])
            low = min(low, float(said.get("recall_low", said["recall"])))
        if "widened" in said:
            widened += tokens
    found = {"policy": ", ".join(policies)} if policies else {}
    if gauged:
        found |= {"recall": f"{kept / gauged:.4f}", "recall_low": f"{low:.4f}"}
    if widened:
        found["widened"] = str(widened)
    return found
