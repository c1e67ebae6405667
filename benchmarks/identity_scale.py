"""What a cosine of ``identity`` means: of one person's two photographs, and of two people's.

``python benchmarks/identity_scale.py --help``. Of people of whom LFW has two pictures or more some are drawn, and two
pictures of each; the network of ``judges=faces`` embeds them all at their original size. Compared are the two of each
person, and the first of each with the first of everybody else. Needs LFW at 250 pixels (DMT_DATA) and the network
(DMT_WEIGHTS).
"""

import argparse

import numpy as np

from dmt.cli import build
from dmt.cli.front_door import composed

SIDE = 250  # pixels, LFW's own


def main() -> None:
    """Print the means and the quantiles of both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of people and pictures")
    asked = parser.parse_args()
    cfg = composed("judges=[faces]")
    judge = build.built(cfg.judges)["identity"]
    catalog = build.built(cfg.data.catalog)
    pairs = pairs_of_pictures(catalog.groups, asked.people, np.random.default_rng(asked.seed))
    first, second = (embedded(judge, catalog, side) for side in pairs.T)
    same = (first * second).sum(axis=1)
    others = (first @ first.T)[np.triu_indices(len(first), 1)]
    print("| photographs | pairs | mean | .01 | .05 | .95 | .99 |\n|---|---|---|---|---|---|---|")
    for name, cosines in ((f"of one person ({len(pairs)} people)", same), ("of two people", others)):
        ends = " | ".join(f"{end:.2f}" for end in np.quantile(cosines, [0.01, 0.05, 0.95, 0.99]))
        print(f"| {name} | {len(cosines):,} | {cosines.mean():.2f} | {ends} |")


def pairs_of_pictures(people: list[str], n: int, rng: np.random.Generator) -> np.ndarray:
    """Two pictures ``(n, 2)`` of each of n people, drawn; fewer where fewer people have two."""
    of_person: dict[str, list[int]] = {}
    for position, person in enumerate(people):
        of_person.setdefault(person, []).append(position)
    several = [positions for positions in of_person.values() if len(positions) > 1]
    chosen = rng.permutation(len(several))[:n]
    return np.array([rng.permutation(several[i])[:2] for i in np.sort(chosen)])


def embedded(judge, catalog, positions: np.ndarray) -> np.ndarray:
    """Embeddings ``(n, d)`` of length 1."""
    found = judge.network.output([catalog.read(int(i), SIDE) for i in positions], judge.output)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
