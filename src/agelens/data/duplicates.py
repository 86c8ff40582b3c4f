"""Groups of files that show the same photo: byte for byte, or nearly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEAR_BITS = 40
"""Hashes that differ in at most this many of 256 bits are one photo; see docs/dataset.md for how
it was chosen."""

FACE_BITS = 50
"""The same for hashes of aligned faces, by which one photo is known in two sets that frame it
differently; see docs/dataset.md."""


def near_pairs(hashes: NDArray[np.uint64], bits: int, block: int = 512) -> NDArray[np.int64]:
    """Pairs of hashes within a Hamming distance.

    Args:
        hashes: ``[N, W]`` uint64, 64 bits a word.
        bits: the largest distance that counts.
        block: rows compared at once; bounds the memory.

    Returns:
        ``[P, 3]`` int64: row i, row j > i, distance; sorted.
    """
    found = []
    for start in range(0, len(hashes), block):
        rows = hashes[start : start + block]
        distance = np.zeros((len(rows), len(hashes) - start), np.uint16)
        for word in range(hashes.shape[1]):
            distance += np.bitwise_count(rows[:, None, word] ^ hashes[None, start:, word])
        i, j = np.nonzero(distance <= bits)
        later = j > i
        i, j = i[later], j[later]
        found.append(np.column_stack([i + start, j + start, distance[i, j]]))
    return np.concatenate(found).astype(np.int64) if found else np.empty((0, 3), np.int64)


def parse_hashes(digits: list[str]) -> NDArray[np.uint64]:
    """Hexadecimal hashes as ``[N, W]`` uint64."""
    data = bytes.fromhex("".join(digits))
    return np.frombuffer(data, ">u8").astype(np.uint64).reshape(len(digits), -1)


def connected(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Label the connected components of a graph (union-find).

    Args:
        count: number of nodes.
        pairs: ``[P, 2]`` edges.

    Returns:
        ``[count]``: the smallest node of each node's component.
    """
    parent = np.arange(count)

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = int(parent[node])
        return node

    for i, j in pairs:
        a, b = root(int(i)), root(int(j))
        parent[max(a, b)] = min(a, b)
    return np.array([root(node) for node in range(count)], np.int64)
