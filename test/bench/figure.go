package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// figure is a row of the table.
type figure struct {
	// Name is the benchmark and what of it: "commit, 1 of 1000 changed".
	Name string `json:"name"`
	Unit unit   `json:"unit"`
	// Value is the median of N measurements, unless the name says otherwise.
	Value float64 `json:"value"`
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
	N     int     `json:"n"`
	// Ratio is how many times the bare loop's value it is; 0: there is nothing to compare with.
	Ratio float64 `json:"ratio,omitempty"`
	// Target is what the value, or the ratio where there is one, is not to exceed; nil: there is none.
	Target *float64 `json:"target,omitempty"`
	// Means says in a few words what was measured.
	Means string `json:"means"`
}

// figureOf is the figure of a sample, which must not be empty.
func figureOf(name string, unit unit, s sample, means string) figure {
	return figure{Name: name, Unit: unit, Value: s.percentile(50), Min: slices.Min(s), Max: slices.Max(s), N: len(s), Means: means}
}

// slowest is the figure of a sample's 99th percentile, in a row below that of its median.
func slowest(name string, s sample) figure {
	f := figureOf(name, seconds, s, "the same")
	f.Value = s.percentile(99)
	return f
}

// upTo is the figure with a target for its value.
func (f figure) upTo(target float64) figure {
	f.Target = &target
	return f
}

// compared is the figure with its ratio to another.
func (f figure) compared(other figure) figure {
	f.Ratio = f.Value / other.Value
	return f
}

// against is the figure with its ratio to another, and a target for that.
func (f figure) against(other figure, target float64) figure {
	return f.compared(other).upTo(target)
}

// measured is what the target is for.
func (f figure) measured() float64 {
	if f.Ratio != 0 {
		return f.Ratio
	}
	return f.Value
}

// target says what is not to be exceeded and whether it is.
func (f figure) target() string {
	if f.Target == nil {
		return ""
	}
	text := "<= " + f.Unit.format(*f.Target)
	if f.Ratio != 0 {
		text = "<= " + digits(*f.Target) + "x"
	}
	if f.measured() > *f.Target {
		text += ", missed"
	}
	return text
}

// sample is measurements of one thing.
type sample []float64

// note adds what a call took, unless it failed.
func (s *sample) note(took time.Duration, err error) error {
	if err == nil {
		*s = append(*s, took.Seconds())
	}
	return err
}

// percentile is the value that p percent of the measurements do not exceed, interpolated linearly between the two
// nearest: of an even number, the 50th is the mean of the middle two. The sample must not be empty.
func (s sample) percentile(p float64) float64 {
	sorted := slices.Sorted(slices.Values(s))
	rank := p / 100 * float64(len(sorted)-1)
	below := int(rank)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (rank-float64(below))*(sorted[above]-sorted[below])
}

// unit is what a value counts.
type unit string

const (
	seconds   unit = "s"
	perSecond unit = "1/s"
	perMinute unit = "1/min"
	bytes     unit = "B"
	// millicores are thousandths of a core's time.
	millicores unit = "m"
	count      unit = ""
)

// format gives a value three digits and the unit that suits its size.
func (u unit) format(value float64) string {
	switch {
	case u == seconds && value < 0.9995:
		return digits(value*1000) + " ms"
	case u == seconds:
		return digits(value) + " s"
	case u == bytes:
		return digits(value/(1<<20)) + " MiB"
	case u == perSecond:
		return digits(value) + "/s"
	case u == millicores:
		return digits(value) + " m"
	case u == count:
		return digits(value)
	}
	return digits(value) + "/min"
}

// digits are three, or as many as the whole part has.
func digits(value float64) string {
	switch {
	case value == math.Trunc(value):
		return fmt.Sprintf("%.0f", value)
	case value < 9.995:
		return fmt.Sprintf("%.2f", value)
	case value < 99.95:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.0f", value)
}
