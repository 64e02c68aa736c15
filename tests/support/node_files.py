"""What a private RabbitMQ node needs around it: programs, configuration files, environment."""

import os
import secrets
import shutil
from pathlib import Path

NODE_NAME = 'rabbit@localhost'
# Debian's wrappers in /usr/sbin change to the user rabbitmq and to its one data folder, so they come last.
BINARY_FOLDERS = ('/usr/lib/rabbitmq/bin', '/opt/rabbitmq/sbin')

CONFIG = """
listeners.tcp.1 = 127.0.0.1:{port}
log.console = false
log.file = {folder}/rabbit.log
log.file.level = info
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
{more}
"""


#: Names another rabbitmq-server than the one of this machine, as one in a chroot with a newer Erlang.
SERVER_VARIABLE = 'RABBITMQ_SERVER'


def find_server() -> str:
    """The path of the broker's start script.

    Raises:
        RuntimeError: it is not on this machine.
    """
    return os.environ.get(SERVER_VARIABLE) or find_binary('rabbitmq-server')


def find_binary(name: str) -> str:
    """The path of one of RabbitMQ's or Erlang's programs.

    Raises:
        RuntimeError: it is not on this machine.
    """
    path = shutil.which(name, path=os.pathsep.join([*BINARY_FOLDERS, os.environ.get('PATH', os.defpath)]))
    if path is None:
        raise RuntimeError(
            f'{name} was not found: the tests need a RabbitMQ server (apt-get install rabbitmq-server)'
        )
    return path


def write_node_files(folder: Path, port: int, server: str, more: str) -> None:
    """Write the configuration of a node into its folder.

    Args:
        folder: the node's own folder.
        port: where it speaks AMQP.
        server: the path of rabbitmq-server, beside which the plugins are found.
        more: further lines of rabbitmq.conf.
    """
    (folder / 'rabbitmq.conf').write_text(CONFIG.format(port=port, folder=folder, more=more))
    (folder / 'advanced.config').write_text('[].\n')
    (folder / 'enabled_plugins').write_text('[].\n')
    (folder / 'conf.d').mkdir()
    link_core_applications(Path(server).resolve().parent.parent / 'plugins', folder / 'plugins')


def link_core_applications(source: Path, target: Path) -> None:
    """Link the broker's own applications into a folder, without the plugins.

    At boot Erlang looks for every module in all folders of the code path in turn: without the 45 plugins that
    no test uses a node is ready in 4.4 s where it took 6.0.

    Args:
        source: the installed folder of applications and plugins.
        target: the folder to create.
    """
    target.mkdir()
    for application in source.iterdir():
        if not application.name.startswith('rabbitmq_') or application.name.startswith('rabbitmq_prelaunch'):
            (target / application.name).symlink_to(application)


def node_environment(
    folder: Path, port: int, dist_port: int, epmd_port: int, name: str = NODE_NAME, cookie: str = ''
) -> dict[str, str]:
    """The environment of a node and of the programs that speak to it; nothing of RabbitMQ's is inherited."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(('RABBITMQ_', 'ERL_'))}
    cookie = cookie or secrets.token_hex(16)
    ours = {
        'HOME': folder,
        'ERL_EPMD_PORT': epmd_port,
        'ERL_EPMD_ADDRESS': '127.0.0.1',
        'RABBITMQ_NODENAME': name,
        'RABBITMQ_NODE_PORT': port,
        'RABBITMQ_DIST_PORT': dist_port,
        'RABBITMQ_ERLANG_COOKIE': cookie,
        'RABBITMQ_CONF_ENV_FILE': os.devnull,
        'RABBITMQ_CONFIG_FILE': folder / 'rabbitmq.conf',
        'RABBITMQ_CONFIG_FILES': folder / 'conf.d',
        'RABBITMQ_ADVANCED_CONFIG_FILE': folder / 'advanced.config',
        'RABBITMQ_ENABLED_PLUGINS_FILE': folder / 'enabled_plugins',
        'RABBITMQ_PLUGINS_DIR': folder / 'plugins',
        'RABBITMQ_MNESIA_BASE': folder / 'data',
        'RABBITMQ_LOG_BASE': folder,
        # The start script then becomes the broker itself instead of waiting beside it: one process to signal.
        'RABBITMQ_ALLOW_INPUT': '1',
        'RABBITMQ_SERVER_START_ARGS': '-noinput',
        # A few threads are enough for tests, and leave the cores to what is tested.
        'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': f'-setcookie {cookie} +S 2:2 +SDio 4 +A 1 +sbwt none',
    }
    return inherited | {key: str(value) for key, value in ours.items()}
