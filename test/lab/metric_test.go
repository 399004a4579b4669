package lab

import (
	"strings"
	"testing"
)

func TestSumSamplesAddsThoseWithTheLabels(t *testing.T) {
	t.Parallel()
	const page = `# HELP builds_total Builds.
# TYPE builds_total counter
builds_total{kind="a b",result="built"} 3
builds_total{kind="c\"}",result="built"} 1.5e+01
builds_total{kind="c",result="failed"} 7
builds_total_other{result="built"} 100
sessions 4
`
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"builds_total", nil, 25},
		{"builds_total", []string{"result=built"}, 18},
		{"builds_total", []string{"result=built", "kind=a b"}, 3},
		{"builds_total", []string{`kind=c"}`}, 15},
		{"builds_total", []string{"result=none"}, 0},
		{"sessions", nil, 4},
		{"absent", nil, 0},
	} {
		got, err := sumSamples(strings.NewReader(page), c.name, c.labels)
		if err != nil || got != c.want {
			t.Errorf("%s %v = %v, %v; want %v", c.name, c.labels, got, err, c.want)
		}
	}
}
