// Pages by the part of the address behind #, so that the server has one page
// and the browser's back button works.

import { useEffect, useState } from 'preact/hooks';

function parts(): string[] {
  return location.hash.replace(/^#\/?/, '').split('/').filter(Boolean).map(decodeURIComponent);
}

export function useRoute(): string[] {
  const [route, setRoute] = useState(parts);
  useEffect(() => {
    const change = () => setRoute(parts());
    addEventListener('hashchange', change);
    return () => removeEventListener('hashchange', change);
  }, []);
  return route;
}

export function to(...path: string[]): string {
  return '#/' + path.map(encodeURIComponent).join('/');
}

export function go(...path: string[]): void {
  location.hash = to(...path);
}

// useTitle names the tab, so that several can be told apart.
export function useTitle(text: string | undefined): void {
  useEffect(() => {
    document.title = text ? `${text} · Carillon` : 'Carillon';
  }, [text]);
}
