"""A small process that cleans up after us when we are killed and cannot do it ourselves."""

import subprocess
from pathlib import Path

# It learns of our death by the end of its input, which works for any signal and from any thread, where
# PR_SET_PDEATHSIG fires when the thread that started the child ends.
SCRIPT = """
watched=' '
while read -r verb group; do
    case $verb in
        watch) watched="$watched$group " ;;
        forget) watched="${watched%% $group *} ${watched#* $group }" ;;
        done) exit 0 ;;
    esac
done
for group in $watched; do kill -KILL "-$group"; done
rm -rf -- "$1"
"""


class Guard:
    """Kills process groups and removes a folder as soon as this process has died without `close`.

    Args:
        folder: what to remove.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process that waits for our end."""
        self._process = subprocess.Popen(
            ['/bin/sh', '-c', SCRIPT, 'guard', str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd='/',
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """Add a process group to what is killed."""
        self._tell(f'watch {group}')

    def forget(self, group: int) -> None:
        """Take out a process group that is gone, before its number is given to another."""
        self._tell(f'forget {group}')

    def close(self) -> None:
        """End the guard; nothing is killed or removed."""
        if self._process is not None:
            self._process.communicate(b'done\n', timeout=60)
            self._process = None

    def _tell(self, line: str) -> None:
        assert self._process is not None, 'the guard was not started'
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b'\n')
        self._process.stdin.flush()
