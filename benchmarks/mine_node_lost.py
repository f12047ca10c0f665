"""A two-node Ray cluster loses a node while a collection is mined: no row may be missing or twice.

    python benchmarks/mine_node_lost.py

The cluster is `ray.cluster_utils.Cluster` on this machine: two nodes of two CPUs each. The second node is killed, with
its workers and what its object store holds, once the first shards are committed.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")
TESTS = Path(__file__).resolve().parent.parent / "tests"
os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
sys.path.insert(0, str(TESTS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=0.05, help="that a document takes")
    options = parser.parse_args()

    from mining_annotators import WordAnnotator, citation, rows_of, write_pubmed
    from ray.cluster_utils import Cluster

    from biogpt.mining.collection import mine_with

    with tempfile.TemporaryDirectory() as directory:
        folder, output = Path(directory) / "in", Path(directory) / "out"
        for number in range(4):
            pmids = range(number * 1000, number * 1000 + options.documents // 4)
            write_pubmed(
                folder / f"pubmed25n{number:04d}.xml.gz", *(citation(pmid, f"Number {pmid}") for pmid in pmids)
            )
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 100 << 20})
        node = cluster.add_node(num_cpus=2, object_store_memory=100 << 20)
        cluster.wait_for_nodes()
        started = time.monotonic()
        lost_at = 0.0
        shards = []

        def on_commit(shard: str) -> None:
            nonlocal lost_at
            shards.append(shard)
            print(f"{time.monotonic() - started:6.1f} s  {shard}")
            if len(shards) == 4:
                print(f"{time.monotonic() - started:6.1f} s  a node is killed")
                cluster.remove_node(node, allow_graceful=False)
                lost_at = time.monotonic()

        annotators = [WordAnnotator(seconds=options.seconds)]
        mine_with(
            annotators, folder, output, workers=4, ray_address=cluster.address, shard_size=20, on_commit=on_commit
        )
        took = time.monotonic() - lost_at
        rows = rows_of(output)
        assert lost_at, "the node was not killed before the end"
        assert len(rows["documents"]) == options.documents == len(set(rows["documents"]))
        assert len(shards) == len(set(shards))
        print(f"{len(rows['documents'])} documents, {len(shards)} shards, {took:.1f} s after the node was lost")
        cluster.shutdown()


if __name__ == "__main__":
    main()
