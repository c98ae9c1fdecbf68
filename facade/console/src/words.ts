// Schedules in words.

import cronstrue from 'cronstrue';
import type { JobRow } from './types';

type Schedule = Pick<JobRow, 'frequencyType' | 'cronExpression' | 'intervalMinutes' | 'timeZone'>;

const units: [number, string][] = [
  [10_080, 'week'],
  [1440, 'day'],
  [60, 'hour'],
  [1, 'minute'],
];

export function words(j: Schedule): string {
  if (j.frequencyType === 'CRON_BASED') {
    const said = cronWords(j.cronExpression ?? '');
    return `${said ? `${said} · ` : ''}${j.cronExpression}, ${j.timeZone}`;
  }
  if (j.frequencyType !== 'INTERVAL_BASED') return 'By hand';
  const minutes = j.intervalMinutes ?? 0;
  const [size, name] = units.find(([n]) => minutes % n === 0) ?? [1, 'minute'];
  return minutes === size ? `Every ${name}` : `Every ${minutes / size} ${name}s`;
}

// counted is so many of something.
export function counted(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}

// cronWords is empty for what is no cron expression. The service takes ? for *
// in the two day fields.
export function cronWords(expression: string): string {
  try {
    return cronstrue.toString(expression.trim().replaceAll('?', '*'), { use24HourTimeFormat: true });
  } catch {
    return '';
  }
}
