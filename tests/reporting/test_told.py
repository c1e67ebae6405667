import logging

from dmt.reporting.told import Told


def test_warnings_of_a_run_are_kept_once_and_forgotten_by_the_next():
    told, log = Told(), logging.getLogger("dmt.some.place")
    try:
        told.begin()
        log.info("nothing")
        for _ in range(2):
            log.warning("look\nat %s", "this")
        logging.getLogger("dmt.judges.some").warning("unsure")
        assert told.of_run == ["look at this"]
        assert told.of_results == ["unsure"]
        told.begin()
        assert told.of_run == told.of_results == []
        assert logging.getLogger("dmt").handlers.count(told) == 1
    finally:
        logging.getLogger("dmt").removeHandler(told)
