// Written by functions-admin as the index.ts of a release that was uploaded as an eszip bundle.
// Our main service never runs it: it hands bundle.eszip to the runtime. Another main service knows
// only this folder, and gets an answer that says what is the matter.
Deno.serve(() =>
  Response.json({
    code: "BUNDLE_NEEDS_MAIN_SERVICE",
    message: "This function was uploaded as an eszip bundle, which this main service cannot run. " +
      "HINT: start the edge runtime with the main service of functions-admin, or deploy with --use-api.",
  }, { status: 501 })
);
