#!/bin/sh
# Puts the pinned GraphiQL and React, compressed, into assets/. Run it by hand
# to take other versions: change the versions and the sums, then commit.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # name, version, sha256 of the package
	(cd "$work" && npm pack --silent "$1@$2" >/dev/null)
	echo "$3  $work/$1-$2.tgz" | sha256sum --check --quiet
	mkdir "$work/$1"
	tar -xzf "$work/$1-$2.tgz" -C "$work/$1" --strip-components=1
}

keep() { # file in the package, name in assets
	gzip -9 -n -c "$work/$1" >"assets/$2.gz"
}

fetch graphiql 3.8.3 1cadb1c2ca0dc51ea71fb4bb2680e6185e83fe400c9a62ca5fb9dfb922472bbd
fetch react 18.3.1 8d9bed01a672e7eaf387942d781ad47c6a43089a30a0306060f9fd5ac7870347
fetch react-dom 18.3.1 031d4427a99f2f3f6cac18bbbf308594a67e4f47d10f4896fdec446505b040e0

rm -f assets/*.gz
keep graphiql/graphiql.min.js graphiql.js
keep graphiql/graphiql.min.css graphiql.css
keep react/umd/react.production.min.js react.js
keep react-dom/umd/react-dom.production.min.js react-dom.js

{
	echo 'The files beside this one are unchanged copies, compressed with gzip.'
	for package in graphiql@3.8.3 react@18.3.1 react-dom@18.3.1; do
		printf '\n== %s ==\n\n' "$package"
		cat "$work/${package%@*}/LICENSE"
	done
	printf '\nGraphiQL bundles further packages under the MIT licence; their notices stand in graphiql.js.\n'
} >assets/LICENSES.txt
