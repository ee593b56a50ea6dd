package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

// newManager makes a manager that never reaches a cluster: webhooks are set up in it as in the real
// one, and their handlers are called directly.
func (c *checker) newManager() ctrl.Manager {
	return must(ctrl.NewManager(&rest.Config{Host: "http://127.0.0.1:1"}, ctrl.Options{
		Scheme:        c.scheme,
		Metrics:       metricsserver.Options{BindAddress: "0"},
		WebhookServer: webhook.NewServer(webhook.Options{}),
	}))
}

// admit sends an object to a webhook as the API server does when it is created.
func admit(manager ctrl.Manager, verb string, resource any, kind metav1.GroupVersionKind, result *report) {
	path := strings.Join([]string{"/" + verb, strings.ReplaceAll(kind.Group, ".", "-"), kind.Version, strings.ToLower(kind.Kind)}, "-")
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID:       "1",
			Kind:      kind,
			Operation: admissionv1.Create,
			Object:    runtime.RawExtension{Raw: must(json.Marshal(resource))},
		},
	}
	request := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(must(json.Marshal(review))))
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	manager.GetWebhookServer().WebhookMux().ServeHTTP(answer, request)
	var reply admissionv1.AdmissionReview
	if err := json.Unmarshal(answer.Body.Bytes(), &reply); err != nil || reply.Response == nil {
		result.problem("%s: %d %s", path, answer.Code, answer.Body.String())
		return
	}
	if !reply.Response.Allowed {
		result.problem("webhook of %s: %s", kind.Kind, reply.Response.Result.Message)
	}
	result.checked(verb + " webhook of " + kind.Kind)
}
