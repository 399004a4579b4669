package store

import "testing"

func TestNumbersAreComparedInFull(t *testing.T) {
	t.Parallel()
	for _, same := range [][2]string{
		{`{"a":1,"b":[2]}`, `{"b": [2.0], "a": 1}`}, {`{"a":1e3}`, `{"a":1000}`}, {`{"a":1.5E-3}`, `{"a":0.0015}`}, {`{"a":1e400}`, `{"a":1e400}`},
	} {
		if !sameJSON([]byte(same[0]), []byte(same[1])) {
			t.Errorf("%s is not %s", same[0], same[1])
		}
	}
	for _, other := range [][2]string{
		{`{"a":12345678901234567890}`, `{"a":12345678901234567891}`}, {`{"a":[0.10000000000000000001]}`, `{"a":[0.1]}`}, {`{"a":1}`, `{"a":"1"}`},
	} {
		if sameJSON([]byte(other[0]), []byte(other[1])) {
			t.Errorf("%s is %s", other[0], other[1])
		}
	}
}
