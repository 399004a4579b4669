package encode

import (
	"slices"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

const (
	// maxDigits bounds the numbers in keys to what fits an int64.
	maxDigits = 17
	// maxVerified is how many keys are compared each with each.
	maxVerified = 50
)

// Ordered reports whether kustomize prints a mapping of these keys in the same order each time. It returns false when it
// is not sure.
func Ordered(keys []string) bool {
	pairs := make([]pair, len(keys))
	for i, key := range keys {
		pairs[i].key = &yaml.Node{Value: key}
	}
	return arrange(pairs)
}

// arrange sorts the pairs. It returns false when their keys have no order: one is there twice, or they go in a circle
// (k1B before k2 before k10 before k1B), for which kustomize has another order each time.
func arrange(pairs []pair) bool {
	slices.SortFunc(pairs, func(a, b pair) int { return compareKeys(a.key.Value, b.key.Value) })
	circular := false
	for i, p := range pairs {
		if i > 0 && pairs[i-1].key.Value == p.key.Value {
			return false
		}
		odd, sure := oddNumbers(p.key.Value)
		if !sure {
			return false
		}
		circular = circular || odd
	}
	if !circular {
		return true
	}
	if len(pairs) > maxVerified {
		return false
	}
	for i := range pairs {
		for j := range i {
			if compareKeys(pairs[j].key.Value, pairs[i].key.Value) >= 0 {
				return false
			}
		}
	}
	return true
}

// oddNumbers reports whether the key has a number with which keys may go in a circle: one with a letter behind or a zero
// in front. It returns false when it has one that is too large.
func oddNumbers(key string) (odd, sure bool) {
	digits, zero := 0, false
	for i := range len(key) {
		if !isDigit(key[i]) {
			odd = odd || digits > 0 && isLetter(key[i]) > 0
			digits, zero = 0, false
			continue
		}
		odd = odd || zero
		zero = digits == 0 && key[i] == '0'
		if digits++; digits > maxDigits {
			return odd, false
		}
	}
	return odd, true
}

// compareKeys orders keys of a mapping: letters by their code and after all else, and numbers by their value (a2 before
// a10).
func compareKeys(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	if i == len(a) || i == len(b) {
		return len(a) - len(b)
	}
	switch isLetter(a[i]) + isLetter(b[i]) {
	case 2:
		return int(a[i]) - int(b[i])
	case 1:
		return isLetter(a[i]) - isLetter(b[i])
	}
	lead := int64(0) // of the number that both are within, if a zero is not just one in front of it
	if a[i] == '0' || b[i] == '0' {
		for j := i - 1; j >= 0 && isDigit(a[j]); j-- {
			if a[j] != '0' {
				lead = 1
			}
		}
	}
	an, aLen := number(a[i:], lead)
	bn, bLen := number(b[i:], lead)
	switch {
	case an < bn:
		return -1
	case an > bn:
		return 1
	case aLen != bLen:
		return aLen - bLen
	}
	return int(a[i]) - int(b[i])
}

// number reads the digits at the beginning of the text, after those that n stands for.
func number(text string, n int64) (int64, int) {
	i := 0
	for ; i < len(text) && isDigit(text[i]); i++ {
		n = n*10 + int64(text[i]-'0')
	}
	return n, i
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) int {
	if c |= 0x20; c >= 'a' && c <= 'z' {
		return 1
	}
	return 0
}
