package egress

import (
	"net/netip"
	"slices"
)

// These are IANA's special-purpose registries, and the metadata service that a
// cloud keeps at an address that looks public. All other metadata services are
// at link-local, shared or unique local addresses.
var (
	denied4 = prefixes(
		"0.0.0.0/8",        // this network
		"10.0.0.0/8",       // private
		"100.64.0.0/10",    // shared (carrier-grade NAT)
		"127.0.0.0/8",      // loopback
		"168.63.129.16/32", // Azure's metadata and DNS
		"169.254.0.0/16",   // link-local, most metadata services
		"172.16.0.0/12",    // private
		"192.0.0.0/24",     // protocol assignments
		"192.0.2.0/24",     // documentation
		"192.88.99.0/24",   // 6to4 relays
		"192.168.0.0/16",   // private
		"198.18.0.0/15",    // benchmarks
		"198.51.100.0/24",  // documentation
		"203.0.113.0/24",   // documentation
		"224.0.0.0/4",      // multicast
		"240.0.0.0/4",      // reserved, broadcast
	)
	// Of IPv6 only global unicast is public, without these parts of it.
	global6 = netip.MustParsePrefix("2000::/3")
	denied6 = prefixes(
		"2001::/23",     // protocol assignments, Teredo, ORCHID, benchmarks
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4, carries an IPv4 address
		"3fff::/20",     // documentation
	)
	// nat64 carries an IPv4 address in its last four bytes.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

// public reports whether an address, unmapped and without zone, is one that
// anyone on the internet could reach.
func public(addr netip.Addr) bool {
	switch {
	case !addr.IsValid():
		return false
	case addr.Is4():
		return !contains(denied4, addr)
	case nat64.Contains(addr):
		bytes := addr.As16()
		return public(netip.AddrFrom4([4]byte(bytes[12:])))
	}
	return global6.Contains(addr) && !contains(denied6, addr)
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(network netip.Prefix) bool { return network.Contains(addr) })
}

func prefixes(texts ...string) []netip.Prefix {
	networks := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		networks[i] = netip.MustParsePrefix(text)
	}
	return networks
}
