/**
 * Structured logs: a constant message, details in fields with fixed names, one child logger per component. Never payloads, record
 * keys or credentials.
 */
import { pino } from 'pino';
import pretty from 'pino-pretty';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** JSON lines for machines, coloured lines for a terminal. */
export const logFormats = ['json', 'pretty'] as const;
export type LogFormat = (typeof logFormats)[number];

/** Details of one line; an Error goes under `err`. */
export type LogFields = Readonly<Record<string, unknown>>;

interface LogMethod {
  (message: string): void;
  (fields: LogFields, message: string): void;
}

export interface Logger {
  readonly trace: LogMethod;
  readonly debug: LogMethod;
  readonly info: LogMethod;
  readonly warn: LogMethod;
  readonly error: LogMethod;
  readonly fatal: LogMethod;
  /** A logger whose lines all carry `fields`, for instance `{ component: 'listener' }`. */
  child(fields: LogFields): Logger;
}

export interface LoggerSettings {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Where the lines go; standard output unless told. */
  readonly destination?: NodeJS.WritableStream;
}

/** A logger that writes synchronously, so that the last line before a crash is not lost. */
export function createLogger({ level, format, destination }: LoggerSettings): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (format === 'pretty') {
    return pino(options, pretty({ sync: true, translateTime: 'SYS:HH:MM:ss.l', ...(destination && { destination }) }));
  }
  return destination === undefined ? pino(options) : pino(options, destination);
}

/** Says nothing; for tests. */
export const silentLogger: Logger = pino({ level: 'silent' });
