import "@fontsource-variable/inter/wght.css";
import "@fontsource-variable/source-code-pro/wght.css";
import "./styles.css";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { applyTheme } from "./theme";

applyTheme();
createRoot(document.getElementById("root")!).render(<App />);
