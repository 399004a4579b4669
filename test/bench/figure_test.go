package main

import "testing"

func TestPercentileInterpolatesBetweenTheNearest(t *testing.T) {
	t.Parallel()
	hundred := sample{}
	for i := 100; i >= 0; i-- {
		hundred = append(hundred, float64(i))
	}
	for _, test := range []struct {
		name string
		of   sample
		p    float64
		want float64
	}{
		{"the only one", sample{7}, 99, 7},
		{"the middle one", sample{9, 1, 4}, 50, 4},
		{"the mean of the middle two", sample{9, 1, 4, 2}, 50, 3},
		{"the least", sample{9, 1, 4}, 0, 1},
		{"the greatest", sample{9, 1, 4}, 100, 9},
		{"one that was measured", hundred, 99, 99},
		{"between two", sample{0, 10}, 75, 7.5},
	} {
		if got := test.of.percentile(test.p); got != test.want {
			t.Errorf("%s: percentile %v of %v is %v, want %v", test.name, test.p, test.of, got, test.want)
		}
	}
}

func TestFigureLeavesTheSampleInItsOrder(t *testing.T) {
	t.Parallel()
	s := sample{3, 1, 2}
	got := figureOf("name", seconds, s, "means")
	want := figure{Name: "name", Unit: seconds, Value: 2, Min: 1, Max: 3, N: 3, Means: "means"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if s[0] != 3 || s[1] != 1 {
		t.Errorf("the sample is now %v", s)
	}
}

func TestValuesHaveThreeDigitsAndAFittingUnit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		unit  unit
		value float64
		want  string
	}{
		{seconds, 0.000456, "0.46 ms"},
		{seconds, 0.00456, "4.56 ms"},
		{seconds, 0.0456, "45.6 ms"},
		{seconds, 0.4564, "456 ms"},
		{seconds, 0.9996, "1.00 s"},
		{seconds, 1.234, "1.23 s"},
		{seconds, 12.34, "12.3 s"},
		{perSecond, 1234.5, "1234/s"},
		{perMinute, 0, "0/min"},
		{perMinute, 6, "6/min"},
		{perMinute, 5.994, "5.99/min"},
		{bytes, 45.67 * (1 << 20), "45.7 MiB"},
	} {
		if got := test.unit.format(test.value); got != test.want {
			t.Errorf("%v %s is %q, want %q", test.value, test.unit, got, test.want)
		}
	}
}
