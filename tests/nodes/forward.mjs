// A port of this host's loopback address for the runtime that listens at a Unix socket: usage: node forward.mjs SOCKET
import net from 'node:net';

const server = net.createServer((client) => {
  const runtime = net.connect(process.argv[2]);
  client.pipe(runtime).pipe(client);
  for (const each of [client, runtime]) each.on('error', () => { client.destroy(); runtime.destroy(); });
}).listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit()).resume();
