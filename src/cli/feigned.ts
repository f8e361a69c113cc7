import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { printable } from '../kernel/printable.js';
import type { JsonOption } from './client.js';
import { connect, withClient } from './client.js';
import type { CliIo } from './io.js';
import { asJson, ExitWith, print } from './io.js';

interface FeignedOption extends JsonOption {
  readonly findTime: string;
  readonly maxRetry: number;
}

/**
 * `stopgap feigned IP`: for `ignorecommand` of fail2ban. Exit code 0 if failed logins from there were feigned and the genuine ones
 * alone would ban nobody; 1 otherwise.
 */
export function feignedVerb(program: Command, io: CliIo): void {
  const feigned = program
    .command('feigned')
    .description(
      'whether an address must not be banned, since Stopgap made its logins fail (exit code 0 if so)',
    )
    .argument('<ip>', 'the client address');
  withClient(feigned)
    .option('--find-time <duration>', "fail2ban's findtime", '10m')
    .option('--max-retry <count>', "fail2ban's maxretry", whole, 5)
    .option('--json', 'as JSON')
    .action(async (ip: string, options: FeignedOption) => {
      const { findTime: within, maxRetry } = options;
      const client = await connect(io, options);
      const found = await client.get('/api/v1/feigned', { params: { query: { ip, within } } });
      const { network, feigned: ours, genuine } = found;
      const isOurs = ours > 0 && genuine < maxRetry;
      print(
        io,
        options.json === true
          ? asJson({ ...found, isOurs })
          : `${printable(network)}: ${ours} feigned and ${genuine} genuine failures within ${printable(within)}: ${isOurs ? 'not to be banned' : 'may be banned'}`,
      );
      if (!isOurs) throw new ExitWith(1);
    });
}

function whole(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('must be a whole number from 1');
}
