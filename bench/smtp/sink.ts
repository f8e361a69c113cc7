import net from 'node:net';

/*
 * An upstream that takes every message and keeps none: it does as little work as possible, so that the server before it
 * is measured. Prints its port.
 *
 *   sink.js [SLOW MILLISECONDS]   answers messages whose return path has SLOW in it only after so long
 */
const [slowPath, delay] = process.argv.slice(2);
const server = net.createServer({ noDelay: true }, (socket) => {
  let rest = '';
  let inData = false;
  let isSlow = false;
  socket.setEncoding('latin1');
  socket.on('error', () => socket.destroy());
  socket.write('220 sink ESMTP\r\n');
  socket.on('data', (chunk: string) => {
    rest += chunk;
    let answers = '';
    for (;;) {
      if (inData) {
        const end = rest.indexOf('\r\n.\r\n');
        if (end < 0) {
          // Only what may be the beginning of the end must be kept.
          rest = rest.slice(-4);
          break;
        }
        rest = rest.slice(end + 5);
        inData = false;
        if (isSlow) setTimeout(() => socket.write('250 2.0.0 taken\r\n'), Number(delay));
        else answers += '250 2.0.0 taken\r\n';
        continue;
      }
      const end = rest.indexOf('\r\n');
      if (end < 0) break;
      const verb = rest.slice(0, 4).toUpperCase();
      if (verb === 'MAIL') isSlow = slowPath !== undefined && rest.slice(0, end).includes(slowPath);
      rest = rest.slice(end + 2);
      if (verb === 'EHLO') answers += '250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n';
      else if (verb === 'DATA') {
        inData = true;
        answers += '354 go on\r\n';
        rest = `\r\n${rest}`; // so that an empty body ends like any other
      } else if (verb === 'QUIT') {
        socket.end(`${answers}221 2.0.0 bye\r\n`);
        return;
      } else answers += '250 2.0.0 ok\r\n';
    }
    if (answers !== '') socket.write(answers);
  });
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as net.AddressInfo).port}\n`));
process.once('SIGTERM', () => process.exit(0));
