// Command manifestcheck holds rendered manifests against the code of those who will read them:
//
//   - the CRDs of Kubeflow Trainer and JobSet, with the API server's own validation: schema, unknown
//     fields, CEL rules;
//   - the admission webhooks of both, and Trainer's expansion of a TrainJob into a JobSet;
//   - the API server's validation of the Job in the JobSet, and the restricted Pod Security Standard;
//   - the kubelet's expansion of $(NAME) in arguments, which must change nothing that was written.
//
// No cluster is needed; the versions are those of go.mod. Run it in this folder:
//
//	go run . ../*.yaml
//	go run . -crds 'DIR/*.yaml' ../*.yaml      # also against the CRDs of another version
//	go run . -expanded DIR ../*.yaml           # writes the JobSets that Trainer would make
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/yaml"
)

// object is a manifest as its YAML says, without a type.
type object = map[string]any

// report collects what was looked at and what is wrong.
type report struct {
	checks   []string
	problems []string
}

func (r *report) checked(what string) { r.checks = append(r.checks, what) }

func (r *report) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	others := flag.String("crds", "", "CRD files of another version, as a glob")
	expanded := flag.String("expanded", "", "folder for the JobSets that come of TrainJobs")
	flag.Parse()
	ctrl.SetLogger(klog.NewKlogr())
	klog.SetOutput(nothing{})
	klog.LogToStderr(false)
	checker := newChecker(*others)
	failed := false
	for _, path := range flag.Args() {
		result, jobSet := checker.check(string(must(os.ReadFile(path))))
		failed = failed || len(result.problems) > 0
		fmt.Printf("%s: %d problem(s); %s\n", filepath.Base(path), len(result.problems), strings.Join(result.checks, ", "))
		for _, problem := range result.problems {
			fmt.Println("  " + problem)
		}
		if *expanded != "" && jobSet != nil {
			file := filepath.Join(*expanded, filepath.Base(path))
			if err := os.WriteFile(file, must(yaml.Marshal(jobSet)), 0o644); err != nil {
				panic(err)
			}
		}
	}
	if failed {
		os.Exit(1)
	}
}

type nothing struct{}

func (nothing) Write(text []byte) (int, error) { return len(text), nil }
