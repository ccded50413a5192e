// Hosts of their own, as far as the network goes: each is a network namespace with one cable to a switch, which is another one. The
// file system is shared, and with it Unix sockets: through those the tests reach a host whatever happens to its cable.
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';

const SUBNET = '10.77.0';

function ip(...args) {
  const done = spawnSync('ip', args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`ip ${args.join(' ')}: ${done.error?.message ?? done.stderr}`);
}

let survivor;
/** A command for the shell that is run when this process has ended, by kill -9 too; the latest comes first. */
export function whenGone(command) {
  if (!survivor) {
    // In a session of its own, and with nothing by which ./check would know it for a process that was left behind.
    survivor = spawn('sh', ['-c', 'while read -r line; do all="$line; $all"; done; eval "$all"'], { detached: true, cwd: '/', stdio: ['pipe', 'ignore', 'ignore'], env: { PATH: process.env.PATH } });
    survivor.unref();
    survivor.stdin.unref();
  }
  survivor.stdin.write(`${command}\n`);
}

/** Why there can be no such network here, or false. */
export function unavailable() {
  if (process.getuid() !== 0) return 'only root can make network namespaces';
  if (spawnSync('ip', ['-V']).error) return 'ip (iproute2) is not installed';
  try {
    const network = makeNetwork();
    try { network.host(); } finally { network.remove(); }
    return false;
  } catch (error) { return `network namespaces, or a bridge between them, are not permitted here: ${error.message.trim()}`; }
}

export function makeNetwork() {
  const id = `fa-${randomBytes(4).toString('hex')}`, hub = `${id}-hub`, made = [];
  const remove = () => { while (made.length > 0) spawnSync('ip', ['netns', 'del', made.pop()]); };
  const namespace = (name) => { whenGone(`ip netns del ${name}`); ip('netns', 'add', name); made.push(name); ip('-n', name, 'link', 'set', 'lo', 'up'); return name; };
  namespace(hub);
  ip('-n', hub, 'link', 'add', 'switch', 'type', 'bridge', 'forward_delay', '0');
  ip('-n', hub, 'link', 'set', 'switch', 'up');
  return {
    /** A host, which has everything but a cable that is plugged in until the end. */
    host() {
      const number = made.length + 1, name = namespace(`${id}-${number}`), port = `port${number}`, address = `${SUBNET}.${number}`;
      ip('-n', hub, 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
      ip('-n', hub, 'link', 'set', port, 'master', 'switch', 'up');
      ip('-n', name, 'address', 'add', `${address}/24`, 'dev', 'eth0');
      ip('-n', name, 'link', 'set', 'eth0', 'up');
      return {
        address, subnet: `${SUBNET}.0/24`,
        /** What a command begins with that runs there; it takes the place of nsenter, so that signals reach it. */
        enter: ['nsenter', `--net=/run/netns/${name}`, '--'],
        /** At the switch: the host does not notice, what it sends is lost in silence. */
        unplug: () => ip('-n', hub, 'link', 'set', port, 'down'),
        plug: () => ip('-n', hub, 'link', 'set', port, 'up'),
      };
    },
    remove,
  };
}
