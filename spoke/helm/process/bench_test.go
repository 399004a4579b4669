package process_test

import (
	"testing"

	"flotilla.dev/flotilla/spoke/helm/job"
	"flotilla.dev/flotilla/spoke/helm/process"
)

// BenchmarkStart is what a process costs that is asked nothing of the cluster: it shows what a chart is, and ends.
func BenchmarkStart(b *testing.B) {
	runner, err := process.New(process.Config{Program: mustExecutable(b)})
	if err != nil {
		b.Fatal(err)
	}
	var cpu, resident float64
	for b.Loop() {
		p, err := runner.Start(b.Context(), unreachable, nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Do(b.Context(), job.Request{Action: job.Prepare}); err != nil {
			b.Fatal(err)
		}
		p.Close()
		used, most := p.(*process.Process).Used()
		cpu, resident = cpu+used.Seconds()*1000, max(resident, float64(most)/(1<<20))
	}
	b.ReportMetric(cpu/float64(b.N), "CPU-ms/op")
	b.ReportMetric(resident, "MiB")
}
