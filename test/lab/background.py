"""Work that goes on beside a test until the test has seen enough."""

import threading


class Background(threading.Thread):
    """Calls step() over and over, `n` times so far; what step() raises, stop() raises."""

    def __init__(self):
        super().__init__(daemon=True)
        self.n = 0
        self._stopping = threading.Event()
        self._error = None

    def step(self):
        raise NotImplementedError

    def pause(self, seconds):
        """Between steps; shorter when it is to stop."""
        self._stopping.wait(seconds)

    def run(self):
        try:
            while not self._stopping.is_set():
                self.step()
                self.n += 1
        except Exception as error:  # pylint: disable=broad-except
            self._error = error

    def stop(self):
        """Waits for the step it is at."""
        self._stopping.set()
        self.join()
        if self._error:
            raise self._error
