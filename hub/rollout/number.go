package rollout

import "strconv"

// number is n with the words that fit it: those for one, or those for any other number.
func number(n int, one, others string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + others
}
