package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
)

// readMetric sums the samples of a metric that have all the labels, from an address that serves Prometheus' text format.
func readMetric(ctx context.Context, url, name string, labels []string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return sumSamples(response.Body, name, labels)
}

// A sample is NAME{LABEL="VALUE",...} NUMBER [TIMESTAMP].
var (
	samplePattern = regexp.MustCompile(`^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? (\S+)`)
	labelPattern  = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_]*)=("(?:[^"\\]|\\.)*")`)
)

func sumSamples(r io.Reader, name string, labels []string) (float64, error) {
	var sum float64
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		sample := samplePattern.FindStringSubmatch(lines.Text())
		if sample == nil || sample[1] != name {
			continue
		}
		if !hasLabels(sample[2], labels) {
			continue
		}
		value, err := strconv.ParseFloat(sample[3], 64)
		if err != nil {
			return 0, fmt.Errorf("%q: %w", lines.Text(), err)
		}
		sum += value
	}
	return sum, lines.Err()
}

func hasLabels(written string, wanted []string) bool {
	var have []string
	for _, pair := range labelPattern.FindAllStringSubmatch(written, -1) {
		value, err := strconv.Unquote(pair[2])
		if err != nil {
			return false
		}
		have = append(have, pair[1]+"="+value)
	}
	return !slices.ContainsFunc(wanted, func(label string) bool { return !slices.Contains(have, label) })
}
