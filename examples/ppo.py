"""PPO in one file, on a cart that is to stop at a mark. It logs with wandb's and TensorBoard's calls.

    python examples/ppo.py                                      writes event files to runs/
    python examples/ppo.py --track                              and the same to wandb
    python -m steplog.compat wandb examples/ppo.py --track      and the same to steplog, as one run

It needs torch and tensorboard. With its defaults it takes half a minute.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.utils.tensorboard import SummaryWriter


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--exp-name", default="ppo")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--track", action="store_true", help="log with wandb")
    parser.add_argument("--wandb-project-name", default="ppo")
    parser.add_argument("--wandb-entity", default=None)
    parser.add_argument("--total-timesteps", type=int, default=60_000)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--num-envs", type=int, default=8)
    parser.add_argument("--num-steps", type=int, default=128)
    parser.add_argument("--gamma", type=float, default=0.99)
    parser.add_argument("--gae-lambda", type=float, default=0.95)
    parser.add_argument("--num-minibatches", type=int, default=4)
    parser.add_argument("--update-epochs", type=int, default=4)
    parser.add_argument("--clip-coef", type=float, default=0.2)
    parser.add_argument("--ent-coef", type=float, default=0.01)
    parser.add_argument("--vf-coef", type=float, default=0.5)
    parser.add_argument("--max-grad-norm", type=float, default=0.5)
    args = parser.parse_args()
    args.batch_size = args.num_envs * args.num_steps
    args.num_iterations = max(1, args.total_timesteps // args.batch_size)
    return args


class Carts:
    """Carts on a line, pushed left, right or not at all. A push costs; so does the distance to the mark at 0."""

    actions, observations, length = 3, 2, 50

    def __init__(self, number: int) -> None:
        self._place, self._speed, self._steps = (torch.zeros(number) for _ in range(3))
        self._returns = torch.zeros(number)
        self._begin(torch.ones(number, dtype=torch.bool))

    def _begin(self, which: Tensor) -> None:
        self._place[which] = torch.rand(int(which.sum())) * 2 - 1
        for state in (self._speed, self._steps, self._returns):
            state[which] = 0.0

    def observe(self) -> Tensor:
        return torch.stack((self._place, self._speed * 10), dim=1)

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, Tensor, list[float]]:
        """What is observed, the reward, whether an episode is over, and the returns of those that are."""
        push = action - 1.0
        self._speed = 0.95 * self._speed + 0.02 * push
        self._place += self._speed
        reward = -self._place.abs() - 0.05 * push.abs()
        self._returns += reward
        self._steps += 1
        done = (self._steps >= self.length) | (self._place.abs() > 2)
        returns = self._returns[done].tolist()
        self._begin(done)
        return self.observe(), reward, done.float(), returns


def layer(inputs: int, outputs: int, std: float = 2**0.5) -> nn.Linear:
    made = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(made.weight, std)
    nn.init.zeros_(made.bias)
    return made


class Agent(nn.Module):
    def __init__(self, envs: Carts) -> None:
        super().__init__()
        inputs = envs.observations
        self.critic = nn.Sequential(layer(inputs, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 1, 1.0))
        self.actor = nn.Sequential(
            layer(inputs, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, envs.actions, 0.01)
        )

    def forward(self, obs: Tensor, action: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The action, its log-probability, the entropy, and the value."""
        chances = Categorical(logits=self.actor(obs))
        action = chances.sample() if action is None else action
        return action, chances.log_prob(action), chances.entropy(), self.critic(obs).squeeze(-1)


@dataclass
class Rollout:
    """What the agent did: each a tensor of steps by carts."""

    obs: Tensor
    actions: Tensor
    logprobs: Tensor
    rewards: Tensor
    dones: Tensor
    values: Tensor
    last_value: Tensor

    def advantages(self, gamma: float, gae_lambda: float) -> Tensor:
        made, following, last = torch.zeros_like(self.rewards), self.last_value, torch.zeros_like(self.last_value)
        for step in reversed(range(len(self.rewards))):
            goes_on = 1.0 - self.dones[step]
            delta = self.rewards[step] + gamma * following * goes_on - self.values[step]
            made[step] = last = delta + gamma * gae_lambda * goes_on * last
            following = self.values[step]
        return made


class Training:
    def __init__(self, args: argparse.Namespace, writer: SummaryWriter) -> None:
        self.args, self.writer = args, writer
        self.envs = Carts(args.num_envs)
        self.agent = Agent(self.envs)
        self.optimizer = torch.optim.Adam(self.agent.parameters(), lr=args.learning_rate, eps=1e-5)
        self.global_step = 0

    @torch.no_grad()
    def act(self) -> Rollout:
        rows = []
        obs = self.envs.observe()
        for _ in range(self.args.num_steps):
            self.global_step += self.args.num_envs
            action, logprob, _, value = self.agent(obs)
            following, reward, done, returns = self.envs.step(action)
            rows.append((obs, action, logprob, reward, done, value))
            obs = following
            if returns:
                mean = sum(returns) / len(returns)
                print(f"global_step={self.global_step}, episodic_return={mean:.6f}")
                self.writer.add_scalar("charts/episodic_return", mean, self.global_step)
        return Rollout(*(torch.stack(column) for column in zip(*rows, strict=True)), self.agent(obs)[3])

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """The losses of the last minibatch, and how well the values explained the returns."""
        args, advantages = self.args, rollout.advantages(self.args.gamma, self.args.gae_lambda)
        returns = (advantages + rollout.values).flatten()
        flat = [part.flatten(0, 1) for part in (rollout.obs, rollout.actions, rollout.logprobs, advantages)]
        told: dict[str, float] = {}
        for _ in range(args.update_epochs):
            for chosen in torch.randperm(args.batch_size).chunk(args.num_minibatches):
                obs, actions, logprobs, gains = (part[chosen] for part in flat)
                _, logprob, entropy, value = self.agent(obs, actions)
                change = logprob - logprobs
                ratio = change.exp()
                gains = (gains - gains.mean()) / (gains.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
                policy_loss = -torch.min(gains * ratio, gains * clipped).mean()
                value_loss = 0.5 * (value - returns[chosen]).square().mean()
                loss = policy_loss - args.ent_coef * entropy.mean() + args.vf_coef * value_loss
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.agent.parameters(), args.max_grad_norm)
                self.optimizer.step()
                told = {
                    "losses/policy_loss": policy_loss.item(),
                    "losses/value_loss": value_loss.item(),
                    "losses/entropy": entropy.mean().item(),
                    "losses/approx_kl": ((ratio - 1) - change).mean().item(),
                }
        told["losses/explained_variance"] = (1 - (returns - rollout.values.flatten()).var() / returns.var()).item()
        return told


def main() -> None:
    args = parse_args()
    run_name = f"{args.exp_name}__{args.seed}__{int(time.time())}"
    if args.track:
        import wandb

        wandb.init(
            project=args.wandb_project_name,
            entity=args.wandb_entity,
            sync_tensorboard=True,
            config=vars(args),
            name=run_name,
            monitor_gym=True,
            save_code=True,
        )
    writer = SummaryWriter(f"runs/{run_name}")
    rows = "\n".join(f"|{key}|{value}|" for key, value in vars(args).items())
    writer.add_text("hyperparameters", f"|param|value|\n|-|-|\n{rows}")

    random.seed(args.seed)
    torch.manual_seed(args.seed)
    training, began = Training(args, writer), time.time()
    for iteration in range(args.num_iterations):
        rate = args.learning_rate * (1 - iteration / args.num_iterations)
        training.optimizer.param_groups[0]["lr"] = rate
        told = training.learn(training.act())
        writer.add_scalar("charts/learning_rate", rate, training.global_step)
        for name, value in told.items():
            writer.add_scalar(name, value, training.global_step)
        speed = int(training.global_step / (time.time() - began))
        print(f"SPS: {speed}, value_loss={told['losses/value_loss']:.6f}")
        writer.add_scalar("charts/SPS", speed, training.global_step)
    writer.close()


if __name__ == "__main__":
    main()
