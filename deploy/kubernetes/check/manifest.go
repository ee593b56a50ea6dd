package main

import (
	"context"
	"os/exec"
	"strings"

	trainer "github.com/kubeflow/trainer/v2/pkg/apis/trainer/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	jobset "sigs.k8s.io/jobset/api/jobset/v1alpha2"
	"sigs.k8s.io/yaml"
)

type checker struct {
	ctx    context.Context
	scheme *runtime.Scheme
	crds   definitions
	others definitions
}

func newChecker(others string) *checker {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientscheme.AddToScheme, trainer.AddToScheme, jobset.AddToScheme} {
		utilruntime.Must(add(scheme))
	}
	published := readDefinitions(
		moduleFolder("github.com/kubeflow/trainer/v2")+"/manifests/base/crds/*.yaml",
		moduleFolder("sigs.k8s.io/jobset")+"/config/components/crd/bases/*.yaml",
	)
	return &checker{context.Background(), scheme, published, readDefinitions(others)}
}

func moduleFolder(module string) string {
	out := must(exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output())
	return strings.TrimSpace(string(out))
}

// manifest holds the objects of one file, typed.
type manifest struct {
	trainJob *trainer.TrainJob
	runtimes []client.Object
	jobSet   *jobset.JobSet
}

// check looks at one file and returns the JobSet that would run, written or expanded.
func (c *checker) check(text string) (*report, *jobset.JobSet) {
	result := &report{}
	parts := &manifest{}
	for _, document := range strings.Split(text, "\n---\n") {
		c.read(document, parts, result)
	}
	if parts.trainJob != nil {
		parts.jobSet = c.expand(parts, result)
	}
	if parts.jobSet == nil {
		result.problem("there is no JobSet in it and none comes of it")
		return result, nil
	}
	c.checkJobSet(parts.jobSet, result)
	return result, parts.jobSet
}

func (c *checker) read(document string, parts *manifest, result *report) {
	var plain object
	if err := yaml.UnmarshalStrict([]byte(document), &plain); err != nil {
		result.problem("YAML: %v", err)
		return
	}
	if plain == nil {
		return
	}
	kind, _ := plain["kind"].(string)
	c.crds.check(kind, plain, result)
	c.others.check(kind, plain, result)
	var typed any
	switch kind {
	case "TrainJob":
		parts.trainJob = &trainer.TrainJob{}
		typed = parts.trainJob
	case "TrainingRuntime":
		typed = &trainer.TrainingRuntime{}
		parts.runtimes = append(parts.runtimes, typed.(client.Object))
	case "ClusterTrainingRuntime":
		typed = &trainer.ClusterTrainingRuntime{}
		parts.runtimes = append(parts.runtimes, typed.(client.Object))
	case "JobSet":
		parts.jobSet = &jobset.JobSet{}
		typed = parts.jobSet
	case "ConfigMap":
		typed = &corev1.ConfigMap{}
	default:
		result.problem("a %q is not expected here", kind)
		return
	}
	if err := yaml.UnmarshalStrict([]byte(document), typed); err != nil {
		result.problem("%s: %v", kind, err)
	}
}
