// Times for people: in the zone that the header names, with the exact instant at
// hand.

import { useEffect, useState } from 'preact/hooks';

const key = 'carillon.utc';
export const ownZone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
let utc = localStorage.getItem(key) === 'yes';

// zone is the one that times are shown and typed in: the browser's, or UTC.
export function zone(): string {
  return utc ? 'UTC' : ownZone;
}

export function setUTC(on: boolean): void {
  utc = on;
  if (on) localStorage.setItem(key, 'yes');
  else localStorage.removeItem(key);
}

// both are a format in either zone.
function both(options: Intl.DateTimeFormatOptions): (t: Date) => string {
  const [own, universal] = [ownZone, 'UTC'].map((timeZone) => new Intl.DateTimeFormat(undefined, { ...options, timeZone }));
  return (t) => (utc ? universal : own)?.format(t) ?? '';
}

const full = both({ dateStyle: 'medium', timeStyle: 'medium' });

export function moment(text: string | null | undefined): string {
  return text ? full(new Date(text)) : '–';
}

// clock is a time of day to the millisecond.
export const clock = both({ hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23' });

// date is a day as 2026-12-24.
export function date(t: Date): string {
  return (utc ? t : new Date(t.getTime() - t.getTimezoneOffset() * 60_000)).toISOString().slice(0, 10);
}

// span is a duration in milliseconds in its largest one or two units.
export function span(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${(ms / 1000).toFixed(1)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 172_800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

export function took(from?: string | null, until?: string | null): string {
  return from && until ? span(Date.parse(until) - Date.parse(from)) : '–';
}

// until counts down to an instant, and up from it: by seconds when it is near.
export function until(text: string | null | undefined, now: number): string {
  if (!text) return '–';
  const left = Date.parse(text) - now;
  const far = Math.abs(left);
  let said = span(far);
  if (far < 60_000) said = `${Math.ceil(far / 1000)} s`;
  else if (far >= 600_000 && far < 3_600_000) said = `${Math.floor(far / 60_000)} min`;
  return left < 0 ? `${said} ago` : `in ${said}`;
}

// useNow is the time, once a second.
export function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

// toInput and fromInput map an instant to the value of an input of the type
// datetime-local, and back.
export function toInput(text: string): string {
  const t = new Date(text);
  return new Date(t.getTime() - (utc ? 0 : t.getTimezoneOffset()) * 60_000).toISOString().slice(0, 19);
}

export function fromInput(value: string): string | null {
  return value ? new Date(utc ? `${value}Z` : value).toISOString() : null;
}
