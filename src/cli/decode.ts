/** `latchway decode`: shows captured packets, and what dispatchers said to each other in those between them. */
import type { Command } from 'commander';
import type { DecodeOptions } from './decode-files.ts';
import { withExamples } from './options.ts';

export function addDecode(program: Command): void {
  const command = program
    .command('decode')
    .description(
      'show the packets of captures of tcpdump, in the order of time, and what dispatchers say in those between them',
    )
    .argument('<FILE...>', 'pcap files, for instance one of each dispatcher; - for standard input')
    .requiredOption('--config <FILE>', 'configuration file; its keys open the datagrams')
    .option('--json', 'print a JSON object for each packet')
    .action(async (files: string[], options: DecodeOptions) => {
      // Loaded here alone: the other commands start faster without the schema.
      const { decodeFiles } = await import('./decode-files.ts');
      await decodeFiles(files, options);
    });
  withExamples(command, [
    ['latchway decode --config l.yaml d1.pcap d2.pcap', 'captures of two dispatchers as one story'],
    [
      `tcpdump -i eth2 -w - 'udp port 7373 or proto 4' | latchway decode --config l.yaml -`,
      'while it happens',
    ],
    ['latchway decode --config l.yaml --json d1.pcap', 'for scripts'],
  ]);
}
