#!/usr/bin/env node
/** The program. Everything is in program.ts, which tests can drive without a process. */
import { runProgram } from './program.ts';

await runProgram(process.argv.slice(2));
