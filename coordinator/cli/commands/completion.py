"""`hookline completion`: the script that makes the shell complete commands, options and the names that the coordinator knows."""

import click
from click.shell_completion import get_completion_class

from coordinator.cli.arguments import command
from coordinator.cli.console import Console

INSTALL = {
    "bash": "echo 'eval \"$(hookline completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(hookline completion zsh)\"' >> ~/.zshrc      # after compinit",
    "fish": "hookline completion fish > ~/.config/fish/completions/hookline.fish",
}


@command("completion", examples=['eval "$(hookline completion bash)"', *INSTALL.values()])
@click.argument("shell", type=click.Choice(list(INSTALL)))
def completion(console: Console, shell: str) -> None:
    """Print the completion script of a shell. Names are asked of the coordinator that HOOKLINE_COORDINATOR names."""
    root = click.get_current_context().find_root()
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(root.command, {}, "hookline", "_HOOKLINE_COMPLETE").source()
    console.line(f"# To install it for good:  {INSTALL[shell]}\n{script}")
