"""Shows that the checker can fail: each fault alone is found, and nothing else is."""

import unittest

from loss_checker import Answered, Arrival, LossChecker, identity

BODIES = [f"body {number}".encode() for number in range(6)]


def answered():
    """Two instances, three notifications each."""
    for number, body in enumerate(BODIES):
        yield Answered(str(number % 2), number // 2 + 1, identity(body), "broker", 0)


def arrivals():
    return [Arrival("topic", 0, number, str(number % 2), identity(body), body) for number, body in enumerate(BODIES)]


def again(arrival, **changes):
    return Arrival(**{**arrival.__dict__, **changes})


def counts(came):
    checker = LossChecker(answered())
    for arrival in came:
        checker.arrival(arrival)
    found = checker.verdict_of_all()
    return [len(found.lost), len(found.altered), len(found.disordered), len(found.twice) + len(found.in_two_forms)]


class LossCheckerTest(unittest.TestCase):
    def test_all_is_well(self):
        self.assertEqual(counts(arrivals()), [0, 0, 0, 0])

    def test_a_notification_without_answer_may_arrive(self):
        self.assertEqual(counts([*arrivals(), Arrival("topic", 0, 9, "0", identity(b"new"), b"new")]), [0, 0, 0, 0])

    def test_lost(self):
        for gone in range(len(BODIES)):
            came = arrivals()
            del came[gone]
            self.assertEqual(counts(came), [1, 0, 0, 0], gone)

    def test_altered(self):
        came = arrivals()
        came[2] = again(came[2], body=b"Body 2")
        self.assertEqual(counts(came), [1, 1, 0, 0], "and what was answered is not there")

    def test_of_another_instance(self):
        came = arrivals()
        came[2] = again(came[2], key="1")
        self.assertEqual(counts(came), [0, 1, 0, 0])

    def test_out_of_order(self):
        came = arrivals()
        came[0], came[2] = again(came[0], position=2), again(came[2], position=0)
        self.assertEqual(counts(came), [0, 0, 1, 0])

    def test_two_instances_have_no_order(self):
        came = arrivals()
        came[0], came[1] = again(came[0], position=1), again(came[1], position=0)
        self.assertEqual(counts(came), [0, 0, 0, 0])

    def test_two_topics_have_no_order(self):
        came = arrivals()
        came[4] = again(came[4], group="other", position=0)
        self.assertEqual(counts(came), [0, 0, 0, 0])

    def test_on_two_partitions(self):
        came = arrivals()
        came[4] = again(came[4], shard=1)
        self.assertEqual(counts(came), [0, 0, 1, 0])

    def test_twice(self):
        came = arrivals()
        came.append(again(came[0], position=6))
        self.assertEqual(counts(came), [0, 0, 0, 1], "and the order of first occurrences stands")

    def test_in_parts(self):
        came = arrivals()
        whole = came.pop()
        halves = [again(whole, part=(1, 2), body=whole.body[:3]), again(whole, part=(2, 2), body=whole.body[3:], position=6)]
        self.assertEqual(counts([*came, *halves]), [0, 0, 0, 0])
        self.assertEqual(counts([*came, halves[0]]), [1, 0, 0, 0])
        self.assertEqual(counts([*came, halves[0], again(halves[1], body=b"y 6")]), [1, 1, 0, 0])

    def test_in_two_forms(self):
        came = arrivals()
        whole = came[-1]
        halves = [again(whole, part=(number, 2), body=of, position=6) for number, of in enumerate((b"bod", b"y 5"), 1)]
        thirds = [again(whole, part=(number, 3), body=of, position=7) for number, of in enumerate((b"bo", b"dy", b" 5"), 1)]
        self.assertEqual(counts([*came, halves[0]]), [0, 0, 0, 0], "a form of which a part is missing is none")
        self.assertEqual(counts([*came, *halves]), [0, 0, 0, 1])
        self.assertEqual(counts([*came[:-1], *halves, *thirds]), [0, 0, 0, 1])


if __name__ == "__main__":
    unittest.main()
