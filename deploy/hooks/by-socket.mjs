#!/usr/bin/env node
// Passes a call of Stopgap (hooks.run) on to a hook that systemd runs as root behind the UNIX socket that is the argument.
// A socket tells no exit code: the call has failed unless the answer ends with the line `end`. Then it says why.
import net from 'node:net';

const socket = net.connect({ path: process.argv[2] });
process.stdin.pipe(socket);
let answer = '';
socket.setEncoding('utf8').on('data', (text) => (answer += text));
socket.on('error', ({ message }) => {
  console.error(message);
  process.exit(1);
});
socket.on('end', () => {
  console.log(answer);
  process.exitCode = /(^|\n)end\n$/.test(answer) ? 0 : 1;
});
